# SPDX-License-Identifier: Apache-2.0
"""`cast-train famda`: from a labelled domain to an unlabelled one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def famda(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML), for example config/recipes/streets-night.yaml.')],
    out: Annotated[Path | None, typer.Option(help='Run folder; runs/NAME by default.')] = None,
    store: Annotated[
        Path | None,
        typer.Option(help='Folder of finished stages, which several runs may share; OUT/stages by default.'),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')
    ] = None,
) -> None:
    """Adapt a student to pictures without labels, and export it; the same command goes on where it was stopped."""
    from cast_train.methods.famda_recipe import load_famda_recipe
    from cast_train.methods.pipeline import run_famda

    parsed = load_famda_recipe(recipe, tuple(overrides or ()))
    folder = out or Path('runs') / parsed.name
    student = run_famda(parsed, folder, store or folder / 'stages', typer.echo)
    typer.echo(
        f'{student}: look at it with `cast inspect {student}`; what made it stands in {folder / "manifest.json"}'
    )
