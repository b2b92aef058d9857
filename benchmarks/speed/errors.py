# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in this benchmark."""

from __future__ import annotations

from cast_ros.errors import CastError


class BenchmarkError(CastError):
    """A network cannot be exported, counted or measured; the message says which and what to do."""
