# SPDX-License-Identifier: Apache-2.0
"""The base of every section of a recipe, and the kinds of values that several sections share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
# Height or width of an input: the coarsest level of every backbone has stride 32.
Side = Annotated[int, Field(gt=0, multiple_of=32)]


class Settings(BaseModel):
    """Frozen, and closed: an unknown key is an error, since a misspelt one would silently train something else.

    A class names in ``added`` the keys that came after runs had been made: at their default they are not written, so
    that those runs and their digests stay valid.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')
    added: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode='wrap')
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = write(self)
        for name in self.added:
            if name in document and getattr(self, name) == type(self).model_fields[name].default:
                del document[name]
        return document
