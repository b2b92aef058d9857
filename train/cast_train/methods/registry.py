# SPDX-License-Identifier: Apache-2.0
"""The kinds of recipes, told apart by their key ``method``: a closed table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cast_train.engine.recipe import Recipe, load_recipe
from cast_train.engine.recipe_file import load_document, require_known
from cast_train.methods.cast import CastRecipe, load_cast_recipe
from cast_train.methods.encoder import EncoderRecipe, load_encoder_recipe
from cast_train.methods.famda import FamdaRecipe, load_famda_recipe
from cast_train.methods.night import NightRecipe, load_night_recipe
from cast_train.methods.swinmtl import SwinMtlRecipe, load_swinmtl_recipe
from cast_train.teachers.promptable import PromptableRecipe, load_promptable_recipe

AnyRecipe = Recipe | CastRecipe | FamdaRecipe | NightRecipe | SwinMtlRecipe | PromptableRecipe | EncoderRecipe

RECIPES: dict[str, Callable[[Path, tuple[str, ...]], AnyRecipe]] = {
    'supervised': load_recipe,
    'cast': load_cast_recipe,
    'famda': load_famda_recipe,
    'night': load_night_recipe,
    'swinmtl': load_swinmtl_recipe,
    'masks': load_promptable_recipe,
    'encoder': load_encoder_recipe,
}


def open_recipe(path: Path, overrides: tuple[str, ...] = ()) -> AnyRecipe:
    """Read a recipe of any method.

    Raises:
        RecipeError: unreadable, of an unknown method, or wrong for its method.
    """
    method = load_document(path, overrides).get('method', 'supervised')
    require_known(str(path), 'method', str(method), RECIPES)
    return RECIPES[method](path, overrides)
