# SPDX-License-Identifier: Apache-2.0
"""`cast-train swinmtl`: depth and segmentation from labels, with a critic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.cli.method_run import OutOption, SetOption, StoreOption, run_method


def swinmtl(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML), for example config/recipes/streets-swinmtl.yaml.')],
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
) -> None:
    """Train a student as SwinMTL does, and export it; the same command goes on where it was stopped."""
    from cast_train.methods.pipeline import run_swinmtl
    from cast_train.methods.swinmtl import load_swinmtl_recipe

    run_method(load_swinmtl_recipe(recipe, tuple(overrides or ())), run_swinmtl, out, store)
