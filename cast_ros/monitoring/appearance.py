# SPDX-License-Identifier: Apache-2.0
"""A picture in nine numbers that change with light, weather, sensor and place more than with what is in the street."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Nine numbers of a picture this small: what is left is the light, whatever the camera's resolution.
HEIGHT, WIDTH = 64, 128
# Larger pictures are thinned before they are averaged: reading all of a megapixel costs more than all the rest.
THINNED_WIDTH = 2 * WIDTH
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Keeps the ratio of two colours finite in the dark.
DARK = 0.02

FEATURES = (
    'luminance',
    'luminance of the upper third',
    'luminance of the lower third',
    'luminance, percentile 5',
    'luminance, percentile 50',
    'luminance, percentile 95',
    'luminance, standard deviation',
    'colourfulness',
    'log red / blue',
)


def appearance_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(9,) ``FEATURES`` of an H×W×3 RGB picture; luminance is 0.299 R + 0.587 G + 0.114 B over 0…1."""
    step = max(1, rgb.shape[1] // THINNED_WIDTH)
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    share = small.astype(np.float32) / 255
    luminance = share @ LUMA
    third = HEIGHT // 3
    red, _, blue = share.mean((0, 1))
    return np.array(
        [
            luminance.mean(),
            luminance[:third].mean(),
            luminance[-third:].mean(),
            *np.percentile(luminance, [5, 50, 95]),
            luminance.std(),
            (share.max(2) - share.min(2)).mean(),
            np.log((red + DARK) / (blue + DARK)),
        ]
    )


def entropy_of(scores: NDArray[np.floating]) -> float | None:
    """Mean binary entropy of a frame's scores, nats; None without a score."""
    if not len(scores):
        return None
    p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())
