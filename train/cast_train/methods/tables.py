# SPDX-License-Identifier: Apache-2.0
"""The methods whose stages a table may have as rows: a closed table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cast_train.engine.recipe_file import load_document, require_known
from cast_train.methods import cast, famda, swinmtl
from cast_train.methods.cast import CastRecipe, load_cast_recipe
from cast_train.methods.famda import FamdaRecipe, load_famda_recipe
from cast_train.methods.method import Pictures
from cast_train.methods.stages import Stages, StoredStage
from cast_train.methods.swinmtl import load_swinmtl_recipe


@dataclass(frozen=True)
class TableMethod:
    """What a table needs of a method.

    Attributes:
        load: reads a recipe with overrides.
        read: the pictures that a recipe names.
        identity: of these pictures: rows with the same one share them.
        make: one recipe at one seed, with stages as methods.
        stages: name to stage.
    """

    load: Callable[[Path, tuple[str, ...]], Any]
    read: Callable[[Any], Any]
    identity: Callable[[Any], str]
    make: Callable[[Any, Stages, Any], Any]
    stages: Mapping[str, Callable[[Any], StoredStage]]


def _cast_pictures(recipe: CastRecipe) -> str:
    return recipe.data.model_dump_json(exclude={'labels'})


def _famda_pictures(recipe: FamdaRecipe) -> str:
    return recipe.model_dump_json(include={'source', 'target'})


METHODS: dict[str, TableMethod] = {
    'cast': TableMethod(load_cast_recipe, lambda recipe: Pictures(recipe.data), _cast_pictures, cast.Cast, cast.STAGES),
    'famda': TableMethod(load_famda_recipe, famda.Domains, _famda_pictures, famda.Famda, famda.STAGES),
    'swinmtl': TableMethod(
        load_swinmtl_recipe,
        lambda recipe: Pictures(recipe.data),
        lambda recipe: recipe.data.model_dump_json(),
        swinmtl.SwinMtl,
        swinmtl.STAGES,
    ),
}


def method_of(recipe: Path) -> TableMethod:
    """The method of a recipe file.

    Raises:
        RecipeError: unreadable, or of a method whose stages are no rows of tables.
    """
    name = str(load_document(recipe, ()).get('method', 'supervised'))
    require_known(str(recipe), 'method', name, METHODS)
    return METHODS[name]
