# SPDX-License-Identifier: Apache-2.0
"""The error of everything that measures."""

from __future__ import annotations

from cast_ros.errors import CastError


class MetricError(CastError):
    """Answers and ground truth cannot be compared; the message says which part does not fit."""
