# SPDX-License-Identifier: Apache-2.0
"""`cast-train recipes`: the recipes that came with the package."""

from __future__ import annotations

import typer


def recipes() -> None:
    """List the recipes that `run` and `validate` know by name, with the first line of each."""
    from cast_train.engine.recipe_file import known_recipes

    known = known_recipes()
    width = max(map(len, known), default=0)
    for name, path in known.items():
        first = path.read_text(encoding='utf-8').partition('\n')[0]
        typer.echo(f'{name:{width}}  {first.removeprefix("# ") if first.startswith("# ") else ""}'.rstrip())
