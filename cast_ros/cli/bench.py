# SPDX-License-Identifier: Apache-2.0
"""`cast bench node` and `soak`: what a picture costs in the real node, and whether it stays flat."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cast_ros.errors import HarnessError

if TYPE_CHECKING:
    from cast_ros.offline.harness.bench import BenchResult

# A leak of more than this fills a robot's memory within weeks.
MOST_MB_PER_MINUTE = 1.0

app = typer.Typer(no_args_is_help=True, help='Measure speed.')


ModelOption = Annotated[Path | None, typer.Option(help='A student; the one of this package by default.')]
SizeOption = Annotated[str, typer.Option(help='Width x height of the pictures.')]
ThreadsOption = Annotated[int, typer.Option(help='Of the inference; 0 is one per core.', min=0)]
JsonOption = Annotated[bool, typer.Option('--json', help='Print JSON for other programs.')]


@app.command()
def node(
    model: ModelOption = None,
    size: SizeOption = '1280x720',
    picture: Annotated[
        Path | None, typer.Option(help='Of what the robot sees, brought to --size; something drawn by default.')
    ] = None,
    seconds: Annotated[float, typer.Option(help='How long pictures are sent.', min=0.1)] = 30.0,
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Send pictures through the perception node, one at a time, and print where their time goes."""
    path = _student(model)
    from cast_ros.offline.harness.bench import bench_node
    from cast_ros.offline.harness.measured_node import street_like

    bgr = street_like(*_size(size)) if picture is None else read_picture(picture, _size(size))
    with tempfile.TemporaryDirectory() as folder:
        result = bench_node(path, bgr, seconds, threads, Path(folder) / 'node.log')
    if as_json:
        more = {'beside_inference_ms': result.beside_inference_ms, 'times_inference': result.times_inference}
        print(json.dumps({**asdict(result), 'size': size, **more}, indent=1))
    else:
        Console(highlight=False).print(table_of(result, size))


@app.command()
def soak(
    model: ModelOption = None,
    size: SizeOption = '640x360',
    minutes: Annotated[float, typer.Option(help='How long.', min=0.05)] = 10.0,
    rate: Annotated[float, typer.Option(help='Pictures per second in a burst.', min=1)] = 200.0,
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Send more pictures than the node can answer, and print whether it stays flat; exit code 3 if it does not."""
    path = _student(model)
    from cast_ros.offline.harness.soak import soak_node

    with tempfile.TemporaryDirectory() as folder:
        result = soak_node(path, _size(size), 60 * minutes, rate, threads, Path(folder) / 'node.log')
    if as_json:
        print(json.dumps({**asdict(result), 'size': size, 'minutes': minutes}, indent=1))
    else:
        print(
            f'{result.sent} pictures sent, {result.answered} answered, {result.superseded} superseded by newer ones; '
            f'{result.bursts} bursts, the newest picture of {result.unanswered} unanswered; {result.errors} errors; '
            f'answers {result.age_ms:.0f} ms old; memory {result.memory_mb:.0f} MB, '
            f'{result.slope_mb_per_minute:+.2f} MB a minute'
        )
    if result.unanswered or result.errors or result.slope_mb_per_minute >= MOST_MB_PER_MINUTE:
        raise typer.Exit(3)


def _student(model: Path | None) -> Path:
    """The model to measure; also the place where a machine without ROS is told so."""
    try:
        from cast_ros.package_files import model_path
    except ImportError as error:
        raise HarnessError(f'cast bench needs ROS 2 ({error}): source it, or use the environment of make') from error
    return model or model_path('')


def _size(text: str) -> tuple[int, int]:
    given = re.fullmatch(r'(\d{1,5})x(\d{1,5})', text)
    if given is None or min(int(given[1]), int(given[2])) < 16:
        raise HarnessError(f'--size must be width x height of at least 16 pixels, such as 1280x720, not {text!r}')
    return int(given[1]), int(given[2])


def read_picture(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """H×W×3 BGR of a file, brought to this width and height.

    Raises:
        HarnessError: it is not there, or no picture.
    """
    # OpenCV would tell of a missing file in a line of its own.
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if bgr is None:
        raise HarnessError(f'{path} cannot be read as a picture; check the path')
    return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)


def table_of(result: BenchResult, size: str) -> Table:
    """Stages with their shares of the processing."""
    p50, p95, p99 = result.latency_ms
    beside = result.beside_inference_ms
    table = Table(
        title=f'{result.model}, pictures of {size}, {result.provider}',
        caption=(
            f'publish to last answer {p50:.1f} ms (p95 {p95:.1f}, p99 {p99:.1f}) over {result.pictures} pictures, '
            f'{result.times_inference:.2f} times the inference; '
            f'beside inference {beside:.1f} ms, {100 * beside / result.processing_ms[0]:.0f} % of the node’s time'
        ),
    )
    for heading in ('in the node', 'p50 ms', 'p95 ms', 'share'):
        table.add_column(heading, justify='left' if heading == 'in the node' else 'right')
    for stage, (median, high) in result.stage_ms.items():
        share = '' if stage == 'waiting' else f'{100 * median / result.processing_ms[0]:.0f} %'
        table.add_row(stage, f'{median:.2f}', f'{high:.2f}', share)
    table.add_section()
    table.add_row('decode to publish', *(f'{value:.2f}' for value in result.processing_ms), '100 %')
    return table
