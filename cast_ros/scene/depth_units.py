# SPDX-License-Identifier: Apache-2.0
"""Metres to the millimetres of REP 118."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_UINT16_MAX = 65535


def depth_to_millimetres(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """H×W uint16; 0 where depth is NaN, infinite, not positive, or above 65.535 m, which 16 bits cannot hold."""
    millimetres = depth_m * np.float32(1000.0) + np.float32(0.5)
    # Comparisons with NaN are false, so that one mask covers every value that has no millimetres.
    holds = (millimetres >= 1.0) & (millimetres < _UINT16_MAX + 1)
    return np.asarray(np.where(holds, millimetres, np.float32(0.0)).astype(np.uint16))
