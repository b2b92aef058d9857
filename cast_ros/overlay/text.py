# SPDX-License-Identifier: Apache-2.0
"""Small text that stays legible: OpenCV's strokes drawn large and scaled down, so that edges are smooth."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

_SUPERSAMPLE = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@lru_cache(maxsize=512)
def text_mask(text: str, height_px: int, bold: bool = False) -> NDArray[np.uint8]:
    """Coverage 0–255 of one line of text, `height_px` from the top of a capital to the bottom of a descender."""
    scale = height_px * _SUPERSAMPLE / 30.0
    stroke = max(1, round(scale * (3.0 if bold else 2.0)))
    (width, above), below = cv2.getTextSize(text, _FONT, scale, stroke)
    canvas = np.zeros((above + below + 2 * stroke, width + 2 * stroke), dtype=np.uint8)
    cv2.putText(canvas, text, (stroke, above + stroke), _FONT, scale, 255, stroke, cv2.LINE_AA)
    size = (max(1, round(canvas.shape[1] / _SUPERSAMPLE)), max(1, round(canvas.shape[0] / _SUPERSAMPLE)))
    mask = np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    mask.flags.writeable = False
    return mask


def put_text(
    picture: NDArray[np.uint8],
    text: str,
    left: int,
    top: int,
    height_px: int,
    color: tuple[int, int, int],
    bold: bool = False,
) -> None:
    """Draws one line into `picture` in place; what falls outside is cut off."""
    mask = text_mask(text, height_px, bold)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + mask.shape[1], picture.shape[1]), min(top + mask.shape[0], picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    cover = mask[y0 - top : y1 - top, x0 - left : x1 - left, None].astype(np.float32) / 255
    region = picture[y0:y1, x0:x1]
    region[...] = (region * (1 - cover) + np.array(color, dtype=np.float32) * cover + 0.5).astype(np.uint8)
