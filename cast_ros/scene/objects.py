# SPDX-License-Identifier: Apache-2.0
"""Where the instances are: position, extent and nearest point of each, from its mask and the depth inside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cast_ros.scene.pinhole import Pinhole
from cast_ros.student import Prediction

# A mask runs a little over its object, onto what lies behind: the outermost values of each axis say nothing.
TRIMMED_PERCENT = 5.0
LEAST_PIXELS = 8
# So many pixels locate an object; more of them cost time and change nothing.
MOST_PIXELS = 2000


@dataclass(frozen=True, eq=False)
class LocatedObject:
    """One instance in the optical frame, metres.

    Attributes:
        row: of the prediction's boxes, labels and scores.
        label: class id.
        centre_m: middle of the box.
        size_m: of the box along x, y and z. A camera sees the front: the extent along z is that of the visible side.
        nearest_m: a point on the side that is nearest to the camera.
    """

    row: int
    label: int
    centre_m: NDArray[np.float32]
    size_m: NDArray[np.float32]
    nearest_m: NDArray[np.float32]

    @property
    def distance_m(self) -> float:
        """From the camera to ``nearest_m``."""
        return float(np.linalg.norm(self.nearest_m))


def locate_instances(prediction: Prediction, camera: Pinhole) -> list[LocatedObject]:
    """Every instance with at least 8 pixels of known depth, in the order of the rows.

    Args:
        prediction: with instances and depth; without either nothing is found.
        camera: of its maps.
    """
    if prediction.labels is None or prediction.boxes is None:
        return []
    return [
        _located(row, int(prediction.labels[row]), points)
        for row, points in _points_of_rows(prediction, camera)
        if len(points) >= LEAST_PIXELS
    ]


def nearest_of_each_class(objects: Iterable[LocatedObject]) -> list[LocatedObject]:
    """One object of each class, the nearest; the nearest class first."""
    nearest: dict[int, LocatedObject] = {}
    for one in sorted(objects, key=lambda each: each.distance_m):
        nearest.setdefault(one.label, one)
    return list(nearest.values())


def _points_of_rows(prediction: Prediction, camera: Pinhole) -> Iterator[tuple[int, NDArray[np.float32]]]:
    ids, depth_m, boxes = prediction.instance_ids, prediction.depth, prediction.boxes
    if ids is None or depth_m is None or boxes is None:
        return
    height, width = ids.shape
    # Boxes enclose whole masks, so that each row is looked for in its box alone.
    corners = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(int)
    for row, (x0, y0, x1, y1) in enumerate(corners.clip(0, [width, height, width, height]).tolist()):
        rows, columns = np.nonzero(ids[y0:y1, x0:x1] == row + 1)
        step = max(1, len(rows) // MOST_PIXELS)
        rows, columns = rows[::step] + y0, columns[::step] + x0
        depths = depth_m[rows, columns]
        known = np.isfinite(depths) & (depths > 0)
        yield row, camera.points(rows[known], columns[known], depths[known])


def _located(row: int, label: int, points: NDArray[np.float32]) -> LocatedObject:
    low, high = np.percentile(points, [TRIMMED_PERCENT, 100 - TRIMMED_PERCENT], axis=0).astype(np.float32)
    order = points[:, 2].argsort()
    nearest = points[order[round((len(points) - 1) * TRIMMED_PERCENT / 100)]]
    return LocatedObject(row, label, (low + high) / 2, high - low, nearest)
