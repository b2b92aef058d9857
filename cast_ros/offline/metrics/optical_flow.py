# SPDX-License-Identifier: Apache-2.0
"""Where each pixel of a picture was in the picture before: optical flow, checked forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError

MAX_WIDTH_PX = 512
MIN_SIDE_PX = 16
# Sundaram, Brox and Keutzer (ECCV 2010): how far forward and backward flow may miss each other.
_RELATIVE, _ABSOLUTE_PX2 = 0.01, 0.5


@dataclass(frozen=True, eq=False)
class Correspondence:
    """From the pixels of one picture to those of the picture before, at the size of the flow.

    Attributes:
        source_x: (h, w) float32, column in the picture before.
        source_y: (h, w) float32, row in the picture before.
        visible: (h, w) bool, in both pictures: inside, and forward and backward flow agree.
    """

    source_x: npt.NDArray[np.float32]
    source_y: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]

    def warp(self, before: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A map of the picture before, (h, w), as it would look now; nearest pixel, so that ids stay ids."""
        return cv2.remap(before, self.source_x, self.source_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def grey_for_flow(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(h, w) uint8, at most 512 px wide.

    Args:
        rgb: (H, W, 3) uint8.

    Raises:
        MetricError: it is no such picture, or one side has less than 16 pixels at the size of the flow.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise MetricError(f'a picture must be H x W x 3 uint8, is {rgb.dtype} of shape {rgb.shape}')
    height, width = rgb.shape[:2]
    scale = min(1.0, MAX_WIDTH_PX / width)
    size = (round(width * scale), round(height * scale))
    if min(size) < MIN_SIDE_PX:
        raise MetricError(f'optical flow needs at least {MIN_SIDE_PX} pixels a side, the picture has {size}')
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def correspond(before: npt.NDArray[np.uint8], now: npt.NDArray[np.uint8]) -> Correspondence:
    """Find the pixels of `now` in `before`, both (h, w) uint8 of one size, with dense inverse search (preset fast)."""
    # OpenCV 4.6 has this name alone, the type stubs only the newer one.
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
    backward = search.calc(now, before, None)
    forward = search.calc(before, now, None)
    height, width = now.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    source_x, source_y = columns + backward[..., 0], rows + backward[..., 1]
    inside = (source_x >= 0) & (source_x <= width - 1) & (source_y >= 0) & (source_y <= height - 1)
    back_again = cv2.remap(forward, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    miss = ((backward + back_again) ** 2).sum(axis=2)
    length = (backward**2).sum(axis=2) + (back_again**2).sum(axis=2)
    return Correspondence(source_x, source_y, inside & (miss < _RELATIVE * length + _ABSOLUTE_PX2))
