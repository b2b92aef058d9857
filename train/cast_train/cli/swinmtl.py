# SPDX-License-Identifier: Apache-2.0
"""`cast-train swinmtl`: depth and segmentation from labels, with a critic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def swinmtl(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML), for example config/recipes/streets-swinmtl.yaml.')],
    out: Annotated[Path | None, typer.Option(help='Run folder; runs/NAME by default.')] = None,
    store: Annotated[
        Path | None,
        typer.Option(help='Folder of finished stages, which several runs may share; OUT/stages by default.'),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')
    ] = None,
) -> None:
    """Train a student as SwinMTL does, and export it; the same command goes on where it was stopped."""
    from cast_train.methods.pipeline import run_swinmtl
    from cast_train.methods.swinmtl import load_swinmtl_recipe

    parsed = load_swinmtl_recipe(recipe, tuple(overrides or ()))
    folder = out or Path('runs') / parsed.name
    student = run_swinmtl(parsed, folder, store or folder / 'stages', typer.echo)
    typer.echo(
        f'{student}: look at it with `cast inspect {student}`; what made it stands in {folder / "manifest.json"}'
    )
