# SPDX-License-Identifier: Apache-2.0
"""`cast-train streets`: make street pictures with exact labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help='Make street pictures with exact labels.')


@app.callback()
def _streets() -> None:
    """Keep `render` a verb of its own although it is the only one."""


@app.command()
def render(
    out: Annotated[Path, typer.Option(help='Folder of the data set; finished frames in it are kept.')],
    split: Annotated[
        list[str] | None,
        typer.Option(
            help='Split to render, repeatable: train, val, drive, foundation (all four by default) or your own.'
        ),
    ] = None,
    domain: Annotated[list[str] | None, typer.Option(help='day or night, repeatable; both by default.')] = None,
    seeds: Annotated[
        str | None, typer.Option(help='FIRST-LAST, for example 10000-10099; those of the shared set by default.')
    ] = None,
    views: Annotated[int | None, typer.Option(min=1, help='Standing views of each scene; 2 by default.')] = None,
    drive: Annotated[int | None, typer.Option(min=1, help='Frames of a 10 Hz drive instead of standing views.')] = None,
    weather: Annotated[str, typer.Option(help='clear, rain, fog, snow, or random for each scene.')] = 'clear',
    appearance: Annotated[str, typer.Option(help='default, or random: other colours, gloss and light.')] = 'default',
    width: Annotated[int, typer.Option(min=16, max=8192, help='Pixels.')] = 512,
    height: Annotated[int, typer.Option(min=16, max=8192, help='Pixels.')] = 256,
    samples: Annotated[int, typer.Option(min=1, help='Cycles samples of a pixel, before denoising.')] = 8,
    workers: Annotated[int, typer.Option(min=1, help='Scenes rendered side by side, one thread each.')] = 1,
) -> None:
    """Render streets; without options, the shared set itself, frame by frame."""
    from rich.console import Console

    from cast_train.data.streets.jobs import Options, choose_jobs
    from cast_train.data.streets.quality import Quality
    from cast_train.data.streets.render import render_jobs, require_blender

    options = Options(Quality(width, height, samples), weather, appearance)
    jobs = choose_jobs(out, split, domain, seeds, views, drive, options)
    require_blender()
    new, old = render_jobs(jobs, workers, Console(stderr=True))
    typer.echo(f'{out}: {new} frames rendered, {old} were there')
