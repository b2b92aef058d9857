# SPDX-License-Identifier: Apache-2.0
"""`cast-train fit`: supervised training from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fit(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML), for example config/recipes/streets-small.yaml.')],
    out: Annotated[Path | None, typer.Option(help='Run folder; runs/NAME by default.')] = None,
    overrides: Annotated[
        list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')
    ] = None,
    resume: Annotated[bool, typer.Option('--resume', help='Go on where the run folder stopped.')] = False,
) -> None:
    """Train a student and print its metrics on the validation pictures."""
    from cast_train.engine.fitting import fit as run_fit
    from cast_train.engine.recipe import load_recipe

    parsed = load_recipe(recipe, tuple(overrides or ()))
    result = run_fit(parsed, out or Path('runs') / parsed.name, resume)
    typer.echo('  '.join(f'{name} {value:.4f}' for name, value in result.items()))
