# SPDX-License-Identifier: Apache-2.0
"""The exception of this area."""

from __future__ import annotations

from cast_ros.errors import CastError


class CalibrationError(CastError):
    """The bag cannot tell the scale; says what is missing."""
