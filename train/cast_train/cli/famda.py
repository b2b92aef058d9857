# SPDX-License-Identifier: Apache-2.0
"""`cast-train famda`: from a labelled domain to an unlabelled one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.cli.method_run import OutOption, SetOption, StoreOption, run_method


def famda(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML), for example config/recipes/streets-night.yaml.')],
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
) -> None:
    """Adapt a student to pictures without labels, and export it; the same command goes on where it was stopped."""
    from cast_train.methods.famda import load_famda_recipe
    from cast_train.methods.pipeline import run_famda

    run_method(load_famda_recipe(recipe, tuple(overrides or ())), run_famda, out, store)
