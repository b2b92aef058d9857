# SPDX-License-Identifier: Apache-2.0
"""The base of every section of a recipe, and the kinds of values that several sections share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)
from pydantic_core import PydanticCustomError

# The type of error of a name that a closed table does not hold.
UNKNOWN_NAME = 'unknown_name'

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
# Height or width of an input: the coarsest level of every backbone has stride 32.
Side = Annotated[int, Field(gt=0, multiple_of=32)]


def one_of(known: Collection[str]) -> AfterValidator:
    """A value that must be a key of a closed table."""

    def check(value: str) -> str:
        if value not in known:
            names = {'value': repr(value), 'known': ', '.join(sorted(known))}
            raise PydanticCustomError(UNKNOWN_NAME, 'is {value}; known are {known}', names)
        return value

    return AfterValidator(check)


class Settings(BaseModel):
    """Frozen, and closed: an unknown key is an error, since a misspelt one would silently train something else.

    A class names in ``added`` the keys that came after runs had been made: at their default they are not written, so
    that those runs and their digests stay valid. Whoever validates with a function as context (``engine.recipe_file``)
    has paths as it finds them.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')
    added: ClassVar[tuple[str, ...]] = ()

    @field_validator('*', mode='after')
    @classmethod
    def _find_files(cls, value: Any, info: ValidationInfo) -> Any:
        return value if info.context is None else _found(value, info.context)

    @model_serializer(mode='wrap')
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = write(self)
        for name in self.added:
            if name in document and getattr(self, name) == type(self).model_fields[name].default:
                del document[name]
        return document


def _found(value: Any, find: Callable[[Path], Path]) -> Any:
    """A path as ``find`` has it; in settings that no section knows yet, every text that is one."""
    if isinstance(value, dict):
        texts = {key: Path(text) for key, text in value.items() if isinstance(text, str) and '/' in text}
        found = {key: str(find(path)) for key, path in texts.items() if find(path) != path}
        return {**value, **found}
    return find(value) if isinstance(value, Path) else value
