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
    grid = np.s_[stride // 2 :: stride]
    depth_m = prediction.depth[grid, grid]
    shown = np.isfinite(depth_m) & (depth_m > 0)
    labels = None if prediction.semantic is None else prediction.semantic[grid, grid]
    if labels is not None and left_out:
        shown &= ~np.isin(labels, list(left_out))
    rows, columns = np.nonzero(shown)
    found = np.zeros(len(rows), POINT)
    map_rows, map_columns = rows * stride + stride // 2, columns * stride + stride // 2
    points = camera.points(map_rows, map_columns, depth_m[shown])
    found['x'], found['y'], found['z'] = points[:, 0], points[:, 1], points[:, 2]
    found['rgb'] = _packed_colours(rgb, map_rows, map_columns, prediction)
    found['label'] = UNLABELLED if labels is None else labels[shown]
    if prediction.instance_ids is not None:
        found['instance'] = prediction.instance_ids[grid, grid][shown]
    return found


def _packed_colours(
    rgb: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp], prediction: Prediction
) -> NDArray[np.uint32]:
    """The picture's pixels at the middles of the map's."""
    height, width = rgb.shape[:2]
    if (height, width) != (prediction.height, prediction.width):
        rows = (2 * rows + 1) * height // (2 * prediction.height)
        columns = (2 * columns + 1) * width // (2 * prediction.width)
    colours = rgb[rows, columns].astype(np.uint32)
    return np.asarray(colours[:, 0] << 16 | colours[:, 1] << 8 | colours[:, 2], np.uint32)
