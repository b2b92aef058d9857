# SPDX-License-Identifier: Apache-2.0
"""The error of everything that loads or runs a student."""

from __future__ import annotations

from cast_ros.errors import CastError


class StudentError(CastError):
    """A student file, its contract, or a picture given to it is not usable; the message says why and what to do."""
