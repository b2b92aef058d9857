# SPDX-License-Identifier: Apache-2.0
"""The methods that a recipe may name: a closed table, and all that `run`, `validate` and `ablate` know of methods.

What a line names is imported when it is needed: a mistake in a recipe is answered without the libraries that train.
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from cast_train.engine.recipe_file import find_recipe, load_document, parse
from cast_train.errors import DataError, RecipeError

if TYPE_CHECKING:
    from cast_train.methods.pipeline import Method, Staged

# Of a recipe that names no method, as none did before there were several.
PLAIN = 'supervised'

# Its kind of recipe, and what it gives (``methods.pipeline.Method``).
METHODS = {
    'supervised': ('cast_train.engine.recipe:Recipe', 'cast_train.methods.pipeline:SUPERVISED'),
    'cast': ('cast_train.methods.cast.recipe:CastRecipe', 'cast_train.methods.cast.stages:METHOD'),
    'famda': ('cast_train.methods.famda.recipe:FamdaRecipe', 'cast_train.methods.famda.stages:METHOD'),
    'night': ('cast_train.methods.night.recipe:NightRecipe', 'cast_train.methods.night.run:METHOD'),
    'swinmtl': ('cast_train.methods.swinmtl.recipe:SwinMtlRecipe', 'cast_train.methods.swinmtl.stages:METHOD'),
    'masks': ('cast_train.teachers.promptable:PromptableRecipe', 'cast_train.methods.pipeline:MASKS'),
    'encoder': ('cast_train.methods.encoder:EncoderRecipe', 'cast_train.methods.encoder:METHOD'),
}


def open_recipe(asked: Path, overrides: tuple[str, ...] = (), unnamed: str = PLAIN) -> tuple[Method, Any]:
    """Read a recipe of any method, by path or name, and return it behind its method: ``unnamed`` if it names none.

    Raises:
        RecipeError: unreadable, of an unknown method, or wrong for its method.
    """
    path = find_recipe(asked)
    document = load_document(path, overrides)
    name = str(document.get('method', unnamed))
    if name not in METHODS:
        raise RecipeError(f'{path}: method is {name!r}; known are {", ".join(sorted(METHODS))}')
    kind, method = METHODS[name]
    recipe = parse(resolve_name(kind), document, str(path), path.parent)
    return resolve_name(method), recipe


def staged(asked: Path, overrides: tuple[str, ...] = ()) -> tuple[Staged, Any]:
    """The same of a recipe whose stages can be rows of a table.

    Raises:
        RecipeError: as above, or it is of another method.
    """
    from cast_train.methods.pipeline import Staged

    method, recipe = open_recipe(asked, overrides)
    if not isinstance(method.run, Staged):
        raise RecipeError(f'{asked}: a recipe of method {recipe.method} has no stages that could be rows of a table')
    return method.run, recipe


def require_roots(recipe: Any) -> None:
    """See that the folders of the data sets are there, before anything is loaded.

    Raises:
        DataError: one is not; names the key to set.
    """
    from cast_train.engine.recipe import NamedPictures

    for key, section in recipe:
        if isinstance(section, NamedPictures) and not section.root.is_dir():
            raise DataError(
                f'{key}.root is {section.root}: no such folder; '
                f'say where {section.dataset} lies with --set {key}.root=FOLDER'
            )
