# SPDX-License-Identifier: Apache-2.0
"""`cast replay BAG --model A.onnx --model B.onnx`: how good, fast and steady students are on a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cast_ros.images.camera_info import Rectified

if TYPE_CHECKING:
    from cast_ros.offline.replay.run import Replay, ReplaySettings


def replay(
    bag: Annotated[Path, typer.Argument(help='MCAP or sqlite3, a folder or a file.', show_default=False)],
    model: Annotated[
        list[Path], typer.Option(help='The .onnx file of a student; again for more, compared with the first.')
    ],
    out: Annotated[Path, typer.Option(help='Folder of the report.')] = Path('out/replay'),
    topic: Annotated[str | None, typer.Option(help='Pictures; needed if the bag has several.')] = None,
    camera_info_topic: Annotated[str | None, typer.Option(help='Their calibration.')] = None,
    rectified: Annotated[Rectified, typer.Option(help='Whether P of camera_info holds; as the parameter.')] = 'auto',
    score_threshold: Annotated[float, typer.Option(help='Lowest score that is shown.', min=0.05, max=1)] = 0.5,
    provider: Annotated[list[str], typer.Option(help='Of onnxruntime, in order of preference.')] = [  # noqa: B006
        'CPUExecutionProvider'
    ],
    threads: Annotated[int, typer.Option(help='Of one inference; 0 is one per core.', min=0)] = 0,
    results_bag: Annotated[bool, typer.Option(help='Write the answers as a bag too.')] = True,
    tracking: Annotated[bool, typer.Option('--tracking', help='Follow instances, and count id switches.')] = False,
    live: Annotated[bool, typer.Option('--live', help='Also play the bag through DDS into the real node.')] = False,
    rate: Annotated[float, typer.Option(help='Speed of that, 1 as recorded.', min=0.01)] = 1.0,
    peak: Annotated[bool, typer.Option('--peak', help='Also find the highest rate that it can take.')] = False,
) -> None:
    """Replay a bag through students, and write report.html, metrics.json, frames.jsonl and results.mcap."""
    from cast_ros.offline.replay.evaluation import evaluate_bag
    from cast_ros.offline.replay.report import calibration_warning, summary_of
    from cast_ros.offline.replay.run import ReplaySettings
    from cast_ros.student import LoadOptions
    from cast_ros.tracking import InstanceTracker

    settings = ReplaySettings(
        topic,
        camera_info_topic,
        score_threshold,
        LoadOptions(tuple(provider), threads=threads),
        results_bag,
        tracking,
        rectified,
    )
    if tracking:
        InstanceTracker()  # a missing library is told before a bag is played for minutes
    figures = _through_dds(bag, model, out, settings, rate, peak) if live or peak else []
    columns = (TextColumn('{task.description}', markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(highlight=False)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(bag.name)
        result = evaluate_bag(
            bag,
            model,
            out,
            settings,
            lambda done, of: progress.update(task, completed=done, total=max(done, of)),
            figures,
        )
    console.print(summary_of(result.document), markup=False, soft_wrap=True)
    console.print(table_of(result))
    if result.document['bag']['incomplete']:
        console.print(f'The bag is damaged: {result.document["bag"]["incomplete"]}', markup=False)
    if warning := calibration_warning(result):
        console.print(f'{warning}.', markup=False, soft_wrap=True)
    console.print(f'Look at {out / "report.html"}', markup=False, soft_wrap=True)


def _through_dds(
    bag: Path, models: list[Path], out: Path, settings: ReplaySettings, rate: float, peak: bool
) -> list[dict[str, Any]]:
    """One after the other: they share the machine."""
    from cast_ros.errors import ReplayError

    try:
        from cast_ros.offline.harness.live_replay import LiveOptions, find_peak, live_replay
    except ImportError as error:
        raise ReplayError(f'--live and --peak need ROS 2 ({error}): source it, or leave them out') from error
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReplayError(f'{out}: cannot be written ({error}); choose another folder (--out)') from error
    found = []
    for number, model in enumerate(models):
        options = LiveOptions(
            bag,
            model,
            out / f'node_{number}.log',
            settings.topic,
            settings.camera_info_topic,
            settings.score_threshold,
            settings.load,
            settings.rectified,
        )
        figures = live_replay(options, rate).as_dict()
        if peak:
            best = find_peak(options)
            figures['peak_frame_rate'] = None if best is None else best.sent_frame_rate
        found.append(figures)
    return found


def table_of(result: Replay) -> Table:
    """The headlines."""
    from cast_ros.offline.replay.report import headline_rows

    names = [one.name for one in result.contestants]
    table = Table()
    table.add_column('')
    for name in names:
        table.add_column(Text(name), justify='right')
    if len(names) > 1:
        table.add_column('difference', justify='right')
    for row in headline_rows(result.document):
        difference = row['difference']
        parts = [f'{difference["text"]} ({difference["range"]})'] if difference else []
        parts += [f'not comparable: {row["not_comparable"]}'] if row['not_comparable'] else []
        table.add_row(row['title'], *row['values'], *([Text('; '.join(parts))] if len(names) > 1 else []))
    return table
