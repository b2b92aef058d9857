# SPDX-License-Identifier: Apache-2.0
"""One exception class for each area of the training side."""

from __future__ import annotations

import pickle

from cast_ros.errors import CastError

# What torch raises for a file that is not one of its own: a stray byte may be any opcode of the unpickler.
UNREADABLE = (
    RuntimeError,
    EOFError,
    OSError,
    pickle.UnpicklingError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)


class DataError(CastError):
    """A data set's tree, picture or label is not what its loader expects."""


class RecipeError(CastError):
    """A recipe has an unknown key, a wrong type or a value out of range."""


class TrainingError(CastError):
    """A training run cannot start, go on or be resumed."""


class ExportError(CastError):
    """A checkpoint cannot be exported, or the exported file does not agree with it."""


class TeacherError(CastError):
    """A teacher cannot be opened, or its labels cannot be used."""
