# SPDX-License-Identifier: Apache-2.0
"""Recipes of all methods."""

from __future__ import annotations

from pathlib import Path

import pytest

from cast_train.errors import RecipeError
from cast_train.methods.registry import open_recipe


def test_every_shipped_recipe_is_valid(project_root: Path) -> None:
    recipes = sorted((project_root / 'config' / 'recipes').glob('*.yaml'))
    assert {open_recipe(path)[1].name: path.stem for path in recipes} == {path.stem: path.stem for path in recipes}


def test_an_unknown_method_is_named_with_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text('method: magic\n')
    with pytest.raises(
        RecipeError, match="method is 'magic'; known are cast, encoder, famda, masks, night, supervised, swinmtl"
    ):
        open_recipe(path)
