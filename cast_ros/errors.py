# SPDX-License-Identifier: Apache-2.0
"""The errors that a user of cast_ros may see: one class for each area, all under ``CastError``."""

from __future__ import annotations


class CastError(Exception):
    """Something a person can act on; the message says what is wrong, where, and what to do.

    Command lines print the message and exit with ``exit_code``.
    """

    exit_code = 2


class StudentError(CastError):
    """A student file, its contract, or an image given to it is not usable."""


class ImageError(CastError):
    """A picture that cannot be decoded or encoded; names the field and the value that is wrong.

    Attributes:
        field: of the message: data, encoding, step, width or height.
    """

    def __init__(self, message: str, field: str = 'data') -> None:
        super().__init__(message)
        self.field = field


class ParameterError(CastError):
    """A parameter has a value that the node cannot work with; names the parameter, the value and what is allowed."""


class TrackingError(CastError):
    """Tracking is asked for, and its libraries are missing or of the wrong version."""


class BagError(CastError):
    """A bag that cannot be read or written; names the path."""


class MetricError(CastError):
    """Answers and ground truth cannot be compared; says which part does not fit."""


class ReplayError(CastError):
    """A replay cannot be done or written."""


class CalibrationError(CastError):
    """The bag cannot tell the scale of depth; says what is missing."""


class HarnessError(CastError):
    """The real node, started from beside, does not start, dies, or does not answer."""
