# SPDX-License-Identifier: Apache-2.0
"""The picture as points in space, each with its colour, class and instance."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from cast_ros.scene.pinhole import Pinhole
from cast_ros.student import UNLABELLED, Prediction

POINT = np.dtype(
    [('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4'), ('label', '<u2'), ('instance', '<u2')], align=False
)
"""One point: metres; 0x00RRGGBB; class id, 255 unlabelled; 0 no instance, k is row k-1 of the detections."""


def point_cloud(
    prediction: Prediction,
    rgb: NDArray[np.uint8],
    camera: Pinhole,
    stride: int = 1,
    left_out: AbstractSet[int] = frozenset(),
) -> NDArray[np.void]:
    """(N,) of ``POINT``, row after row: every pixel of a grid that has a depth and a class that is not left out.

    Args:
        prediction: with depth; a semantic map and instances as far as it has them.
        rgb: H×W×3, the picture, of any size.
        camera: of the prediction's maps.
        stride: pixels between two points of the grid.
        left_out: class ids without points; what is unlabelled always stays.
    """
    if prediction.depth is None:
        return np.zeros(0, POINT)
    grid = np.s_[stride // 2 :: stride, stride // 2 :: stride]
    depth_m = prediction.depth[grid]
    shown = np.isfinite(depth_m) & (depth_m > 0)
    labels = None if prediction.semantic is None else prediction.semantic[grid]
    if labels is not None and left_out:
        shown &= ~np.isin(labels, list(left_out))
    # Flat places in 32 bits: numpy finds, divides and takes by them several times as fast as by pairs.
    places = np.flatnonzero(shown).astype(np.int32)
    width = np.int32(max(1, shown.shape[1]))
    rows = places // width
    columns = places - rows * width
    found = np.zeros(len(places), POINT)
    middle = np.int32(stride // 2)
    points = camera.points(
        rows * np.int32(stride) + middle, columns * np.int32(stride) + middle, depth_m.ravel().take(places)
    )
    found['x'], found['y'], found['z'] = points[:, 0], points[:, 1], points[:, 2]
    found['rgb'] = _packed_colours(rgb, prediction, stride).ravel().take(places)
    found['label'] = UNLABELLED if labels is None else labels.ravel().take(places)
    if prediction.instance_ids is not None:
        found['instance'] = prediction.instance_ids[grid].ravel().take(places)
    return found


def _packed_colours(rgb: NDArray[np.uint8], prediction: Prediction, stride: int) -> NDArray[np.uint32]:
    """The picture's pixels at the middles of the map's, for every pixel of the grid: rows×columns of 0x00RRGGBB."""
    height, width = rgb.shape[:2]
    if (height, width) == (prediction.height, prediction.width):
        colours = rgb[stride // 2 :: stride, stride // 2 :: stride]
    else:
        rows = np.arange(stride // 2, prediction.height, stride)
        columns = np.arange(stride // 2, prediction.width, stride)
        rows = (2 * rows + 1) * height // (2 * prediction.height)
        columns = (2 * columns + 1) * width // (2 * prediction.width)
        colours = rgb[rows[:, None], columns]
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)
