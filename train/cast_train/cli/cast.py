# SPDX-License-Identifier: Apache-2.0
"""`cast-train cast`: adapt the teacher, distil, refine, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.cli.method_run import OutOption, SetOption, StoreOption, run_method


def cast(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML), for example config/recipes/streets-cast.yaml.')],
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
) -> None:
    """Run CAST from the pretrained teacher to an exported student; the same command goes on where it was stopped."""
    from cast_train.methods.cast import load_cast_recipe
    from cast_train.methods.pipeline import run_cast

    run_method(load_cast_recipe(recipe, tuple(overrides or ())), run_cast, out, store)
