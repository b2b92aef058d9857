# SPDX-License-Identifier: Apache-2.0
"""Colours for classes whose data set gives them none."""

from __future__ import annotations

import colorsys

GOLDEN_TURN = 0.618034


def color_of(index: int) -> tuple[int, int, int]:
    """RGB 0..255; neighbours in the list of classes lie far apart on the colour circle."""
    red, green, blue = colorsys.hsv_to_rgb(index * GOLDEN_TURN % 1, 0.9 - 0.25 * (index % 3), 0.95 - 0.2 * (index % 2))
    return round(255 * red), round(255 * green), round(255 * blue)
