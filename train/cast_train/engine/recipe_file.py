# SPDX-License-Identifier: Apache-2.0
"""Reading a recipe of any kind: by path or name, YAML, overrides, and errors that name the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cast_ros.package_files import share_folders
from cast_train.errors import RecipeError
from cast_train.settings import UNKNOWN_NAME, Settings

Section = TypeVar('Section', bound=Settings)

RECIPES = Path('config') / 'recipes'


def known_recipes() -> dict[str, Path]:
    """The recipes that came with the package, by name; where several share folders have one, the first folder's."""
    found: dict[str, Path] = {}
    for folder in (share / RECIPES for share in share_folders()):
        for path in sorted(folder.rglob('*.yaml')):
            found.setdefault(path.relative_to(folder).as_posix().removesuffix('.yaml'), path)
    return dict(sorted(found.items()))


def find_recipe(asked: Path) -> Path:
    """The file that a path or a name such as ``streets-cast`` means; a file that exists wins.

    Raises:
        RecipeError: it is neither; with the nearest known name, and where was looked.
    """
    if asked.is_file():
        return asked
    name, known = asked.as_posix().removesuffix('.yaml'), known_recipes()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f'did you mean {near[0]!r}?' if near else 'cast-train recipes lists them'
    folders = ', '.join(dict.fromkeys(str(share / RECIPES) for share in share_folders()))
    raise RecipeError(f'{asked}: cannot be read: there is no such file, and no such recipe in {folders}; {hint}')


def load(model: type[Section], path: Path, overrides: Iterable[str] = ()) -> Section:
    """Read a YAML recipe of one kind and apply ``key.sub=value`` overrides; values are YAML too.

    Raises:
        RecipeError: unreadable, not YAML, an unknown key (with the nearest known one), or a value out of range.
    """
    return parse(model, load_document(path, overrides), str(path), path.parent)


def load_document(path: Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read any recipe as a mapping and apply ``key.sub=value`` overrides; values are YAML too.

    Raises:
        RecipeError: unreadable, not YAML, not a mapping, or an override of something that cannot be.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise RecipeError(f'{path}: cannot be read as YAML: {error}') from error
    if not isinstance(document, dict):
        raise RecipeError(f'{path}: a recipe is a mapping of keys, this is {type(document).__name__}')
    return override(document, overrides)


def override(document: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Apply ``key.sub=value`` overrides to a mapping, and return it.

    Raises:
        RecipeError: one is not written so, is not YAML, or is of something that cannot be set.
    """
    for text in overrides:
        _apply(document, text)
    return document


def parse(model: type[Section], document: dict[str, Any], source: str, beside: Path | None = None) -> Section:
    """Check a mapping against a kind of recipe.

    Args:
        model: the kind.
        document: the mapping.
        source: names it in errors.
        beside: the folder that it comes from; files that it names by a relative path are then looked for in the working
            folder, beside it and in the share folders (``find_file``). None leaves paths as they are.

    Raises:
        RecipeError: an unknown key (with the nearest known one), or a value out of range.
    """
    try:
        return model.model_validate(document, context=None if beside is None else lambda path: find_file(path, beside))
    except ValidationError as error:
        problems = '; '.join(_explain(model, problem) for problem in error.errors())
        raise RecipeError(f'{source}: {problems}') from error


def find_file(path: Path, beside: Path) -> Path:
    """Where a path of a recipe leads: as it is, if it is absolute or exists; else to the first folder that has it.

    The folders are that of the recipe and the share folders, whose trees are those of the checkout. What none has stays
    as it is, for the error of whoever opens it.
    """
    if not path.parts or path.is_absolute() or path.exists():
        return path
    return next((folder / path for folder in (beside, *share_folders()) if (folder / path).exists()), path)


def _apply(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition('=')
    if not separator:
        raise RecipeError(f'--set {override!r}: write it as key=value, for example --set seed=2')
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f'--set {override!r}: the value is not YAML ({error})') from error
    *parents, last = key.split('.')
    place: Any = document
    for parent in parents:
        place = _step(place, parent, override)
    if isinstance(place, list):
        place[_index(place, last, override)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(f'--set {override!r}: {".".join(parents)} is a single value and has no {last!r}')


def _step(place: Any, key: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, override)]
    if isinstance(place, dict):
        return place.setdefault(key, {})
    raise RecipeError(f'--set {override!r}: there is no {key!r} to set')


def _index(place: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise RecipeError(f'--set {override!r}: {key!r} is not an index of a list of {len(place)}')
    return int(key)


def _explain(model: type[BaseModel], problem: Any) -> str:
    where = '.'.join(str(part) for part in problem['loc'])
    if problem['type'] == UNKNOWN_NAME:
        return f'{where} {problem["msg"]}'
    if problem['type'] != 'extra_forbidden':
        return f'{where}: {problem["msg"]}'
    fields = _fields_at(model, problem['loc'][:-1])
    near = difflib.get_close_matches(str(problem['loc'][-1]), fields, 1, 0.5)
    hint = f'did you mean {near[0]!r}?' if near else f'known keys are {", ".join(fields)}'
    return f'{where}: unknown key; {hint}'


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys that a section knows, found by the way that an error took through the recipe."""
    found = [model]
    for part in location:
        if isinstance(part, str) and part in found[0].model_fields:
            found = _sections(found[0].model_fields[part].annotation)
        else:  # the index of a list, or the tag that chose one of several sections
            found = [one for one in found if _tag(one) == part] or found
    return list(found[0].model_fields)


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The section classes inside ``Section``, ``tuple[Section, ...]`` or ``A | B``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for part in getattr(annotation, '__args__', ()) for one in _sections(part)]


def _tag(section: type[BaseModel]) -> str | None:
    kind = section.model_fields.get('kind')
    return None if kind is None else kind.annotation.__args__[0]  # type: ignore[union-attr]
