# SPDX-License-Identifier: Apache-2.0
"""The base of every section of a recipe, and the kinds of values that several sections share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
# Height or width of an input: the coarsest level of every backbone has stride 32.
Side = Annotated[int, Field(gt=0, multiple_of=32)]


class Settings(BaseModel):
    """Frozen, and closed: an unknown key is an error, since a misspelt one would silently train something else."""

    model_config = ConfigDict(frozen=True, extra='forbid')
