# SPDX-License-Identifier: Apache-2.0
"""Masks of COCO annotations: polygons and run-length codes, checked and decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval.core import mask as coco_mask

# Tools round outlines to the border of the picture and a little beyond; more than this is another picture's outline.
BEYOND_BORDER_PX = 2.0

Polygons = tuple[npt.NDArray[np.float64], ...]
Runs = str | list[int]


def check_segmentation(segmentation: Any, height: int, width: int) -> Polygons | Runs:
    """Check the segmentation of an annotation and return it in a compact form; runs are only checked when decoded.

    Raises:
        ValueError: says what is wrong and what to do, without naming the annotation.
    """
    if isinstance(segmentation, dict):
        size, counts = segmentation.get('size'), segmentation.get('counts')
        if size != [height, width]:
            raise ValueError(f'its mask has size {size}, its picture [{height}, {width}]; annotate the picture itself')
        if isinstance(counts, str):
            return counts
        if isinstance(counts, list) and all(isinstance(count, int) and count >= 0 for count in counts):
            return counts
        raise ValueError('counts of its mask must be a string or a list of whole numbers; export it again')
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError('it has no segmentation; export masks, boxes alone teach no instance')
    return tuple(_check_polygon(polygon, height, width) for polygon in segmentation)


def _check_polygon(polygon: Any, height: int, width: int) -> npt.NDArray[np.float64]:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        size = len(polygon) if isinstance(polygon, list) else 'no list of'
        raise ValueError(f'a polygon has {size} numbers, it needs x and y of at least 3 points; draw it again')
    try:
        points = np.array(polygon, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError('a polygon holds something else than numbers; export it again') from error
    if points.ndim != 1:
        raise ValueError('a polygon must be one flat list x, y, x, y, …; export it again')
    corners = points.reshape(-1, 2)
    for axis, side, low, high in zip('xy', (width, height), corners.min(axis=0), corners.max(axis=0), strict=True):
        # Written so that NaN fails as well.
        if not (low >= -BEYOND_BORDER_PX and high <= side + BEYOND_BORDER_PX):
            raise ValueError(
                f'a polygon reaches {axis} {low:g} to {high:g}, its picture {side}; width and height in the file '
                'must be those of the picture'
            )
    return points


def decode_segmentation(segmentation: Polygons | Runs, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Draw a checked segmentation as H×W; polygons as pycocotools draws them.

    Raises:
        ValueError: the runs are damaged or do not fill the picture.
    """
    if isinstance(segmentation, str):
        return _expand(_uncompress(segmentation), height, width)
    if isinstance(segmentation, list):
        return _expand(segmentation, height, width)
    codes = coco_mask.frPyObjects([points.tolist() for points in segmentation], height, width)
    return np.asarray(coco_mask.decode(coco_mask.merge(codes))).astype(np.bool_)


def _expand(runs: list[int], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Runs of nothing and mask in turn, down the columns."""
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f'the runs of its mask do not add up to {height}x{width} pixels; export it again')
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def _uncompress(text: str) -> list[int]:
    """Decode COCO's string of runs.

    A character carries six bits, five of the number and one for more to come; from the fourth run on the number is the
    difference to the run two before. Done here because a damaged string takes the C code of the usual tools down.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError('the compressed runs of its mask are damaged; export it again')
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value, shift = 0, 0
    if shift or not runs:
        raise ValueError('the compressed runs of its mask are damaged; export it again')
    return runs
