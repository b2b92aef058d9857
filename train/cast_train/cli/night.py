# SPDX-License-Identifier: Apache-2.0
"""`cast-train night`: two recordings and a student, and out comes a student for both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_ros.package_files import DEFAULT_MODEL, model_path
from cast_train.cli.train import SetOption, require_one_process
from cast_train.errors import RecipeError

GATE_FAILED = 3


def night(
    source: Annotated[Path, typer.Option(help='Day: a bag with ground truth, or a folder of import-bag.')],
    target: Annotated[Path, typer.Option(help='Night: a bag, or a folder of import-bag; needs no ground truth.')],
    out: Annotated[Path, typer.Option(help='Folder for everything; the same command goes on where it was stopped.')],
    student: Annotated[
        str,
        typer.Option(
            help='Student to adapt: an .onnx file, a run folder, a checkpoint, or the name of a shipped one.',
            show_default=DEFAULT_MODEL,
        ),
    ] = '',
    recipe: Annotated[Path, typer.Option(help='Recipe (YAML), or the name of a shipped one.')] = Path('night'),
    overrides: SetOption = None,
) -> None:
    """Adapt a student from labelled days to unlabelled nights; exit code 3 if it lost too much by day."""
    require_one_process('night')
    from rich.console import Console

    from cast_train.methods.registry import open_recipe

    _, parsed = open_recipe(recipe, tuple(overrides or ()))
    if parsed.method != 'night':
        raise RecipeError(f'{recipe}: is a recipe of method {parsed.method}; start it with cast-train run')
    from cast_train.methods.night.run import run_night

    start = Path(student) if student and Path(student).exists() else model_path(student)
    found = run_night(parsed, source, target, start, out, Console(stderr=True))
    typer.echo(f'{found.student}: {found.summary}')
    if not found.passed:
        raise typer.Exit(GATE_FAILED)
