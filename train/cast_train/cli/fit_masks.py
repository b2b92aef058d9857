# SPDX-License-Identifier: Apache-2.0
"""`cast-train fit-masks`: train the promptable mask network of the composite teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.cli.method_run import require_one_process


def fit_masks(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML), for example config/recipes/streets-promptable.yaml.')],
    out: Annotated[Path | None, typer.Option(help='Run folder; runs/NAME by default.')] = None,
    overrides: Annotated[
        list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')
    ] = None,
    resume: Annotated[bool, typer.Option('--resume', help='Go on where the run folder stopped.')] = False,
) -> None:
    """Train the network that turns boxes into masks and print its mean IoU on the validation pictures."""
    require_one_process('fit-masks')
    from cast_train.teachers.promptable import fit_promptable, load_promptable_recipe

    parsed = load_promptable_recipe(recipe, tuple(overrides or ()))
    result = fit_promptable(parsed, out or Path('runs') / parsed.name, resume)
    typer.echo('  '.join(f'{name} {value:.4f}' for name, value in result.items()))
