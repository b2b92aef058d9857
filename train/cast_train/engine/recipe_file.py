# SPDX-License-Identifier: Apache-2.0
"""Reading a recipe of any kind: YAML, overrides, and errors that name the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cast_train.errors import RecipeError
from cast_train.settings import Settings

Section = TypeVar('Section', bound=Settings)


def load_document(path: Path, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read any recipe as a mapping and apply ``key.sub=value`` overrides; values are YAML too.

    Raises:
        RecipeError: unreadable, not YAML, not a mapping, or an override of something that cannot be.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f'{path}: cannot be read as YAML: {error}') from error
    if not isinstance(document, dict):
        raise RecipeError(f'{path}: a recipe is a mapping of keys, this is {type(document).__name__}')
    for override in overrides:
        _apply(document, override)
    return document


def parse(model: type[Section], document: dict[str, Any], source: str) -> Section:
    """Check a mapping against a kind of recipe; ``source`` names it in errors.

    Raises:
        RecipeError: an unknown key (with the nearest known one), or a value out of range.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = '; '.join(_explain(model, problem) for problem in error.errors())
        raise RecipeError(f'{source}: {problems}') from error


def require_known(source: str, key: str, value: str, known: Collection[str]) -> None:
    """Refuse a name that a closed table does not hold.

    Raises:
        RecipeError: with all that it holds.
    """
    if value not in known:
        raise RecipeError(f'{source}: {key} is {value!r}; known are {", ".join(sorted(known))}')


def _apply(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition('=')
    if not separator:
        raise RecipeError(f'--set {override!r}: write it as key=value, for example --set seed=2')
    *parents, last = key.split('.')
    place: Any = document
    for parent in parents:
        place = _step(place, parent, override, create=True)
    if isinstance(place, list):
        place[_index(place, last, override)] = yaml.safe_load(text)
    elif isinstance(place, dict):
        place[last] = yaml.safe_load(text)
    else:
        raise RecipeError(f'--set {override!r}: {".".join(parents)} is a single value and has no {last!r}')


def _step(place: Any, key: str, override: str, create: bool) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, override)]
    if isinstance(place, dict):
        return place.setdefault(key, {}) if create else place[key]
    raise RecipeError(f'--set {override!r}: there is no {key!r} to set')


def _index(place: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise RecipeError(f'--set {override!r}: {key!r} is not an index of a list of {len(place)}')
    return int(key)


def _explain(model: type[BaseModel], problem: Any) -> str:
    where = '.'.join(str(part) for part in problem['loc'])
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
