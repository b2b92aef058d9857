# SPDX-License-Identifier: Apache-2.0
"""`cast-train night`: two recordings and a student, and out comes a student for both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.cli.method_run import require_one_process

GATE_FAILED = 3


def night(
    source: Annotated[Path, typer.Option(help='Day: a bag with ground truth, or a folder of import-bag.')],
    target: Annotated[Path, typer.Option(help='Night: a bag, or a folder of import-bag; needs no ground truth.')],
    student: Annotated[Path, typer.Option(help='Student to adapt: its .onnx file, run folder or checkpoint.')],
    out: Annotated[Path, typer.Option(help='Folder for everything; the same command goes on where it was stopped.')],
    recipe: Annotated[Path, typer.Option(help='Recipe (YAML).')] = Path('config/recipes/night.yaml'),
    overrides: Annotated[
        list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')
    ] = None,
) -> None:
    """Adapt a student from labelled days to unlabelled nights; exit code 3 if it lost too much by day."""
    require_one_process('night')
    from rich.console import Console

    from cast_train.methods.night import load_night_recipe, run_night

    parsed = load_night_recipe(recipe, tuple(overrides or ()))
    found = run_night(parsed, source, target, student, out, Console(stderr=True))
    typer.echo(f'{found.student}: {found.summary}')
    if not found.passed:
        raise typer.Exit(GATE_FAILED)
