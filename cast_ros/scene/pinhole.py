# SPDX-License-Identifier: Apache-2.0
"""A camera without distortion."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.signedinteger[Any]]


class Pinhole(NamedTuple):
    """Focal lengths and principal point in pixels of the map; the middle of the first pixel is (0, 0)."""

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float

    def points(self, rows: Integers, columns: Integers, depth_m: Floats) -> Floats:
        """N×3 float32 metres of N pixels with these depths along the optical axis."""
        # Axis by axis in memory: the axes are computed, sorted and copied one by one.
        found = np.empty((3, len(depth_m)), np.float32)
        found[0] = (columns.astype(np.float32) - np.float32(self.cx_px)) * (depth_m / np.float32(self.fx_px))
        found[1] = (rows.astype(np.float32) - np.float32(self.cy_px)) * (depth_m / np.float32(self.fy_px))
        found[2] = depth_m
        return np.asarray(found.T)
