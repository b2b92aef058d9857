# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with bags."""

from __future__ import annotations

from cast_ros.errors import CastError


class BagError(CastError):
    """A bag that cannot be read or written; names the path, what is wrong and what to do."""
