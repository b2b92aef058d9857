# SPDX-License-Identifier: Apache-2.0
"""What goes wrong when a bag is replayed."""

from __future__ import annotations

from cast_ros.errors import CastError


class ReplayError(CastError):
    """A replay cannot be done or written; says what is wrong and what to do."""
