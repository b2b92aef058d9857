# SPDX-License-Identifier: Apache-2.0
"""True distance divided by predicted distance, from one picture and something that is known about it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cast_ros.scene import Pinhole

Floats = NDArray[np.float32]

# Nearer than this a robot sees itself, farther away one picture says little about metres.
NEAREST_M, FARTHEST_M = 2.0, 40.0
LEAST_PIXELS = 200
# Of the ground: farther away it is a few rows that say nothing about its slope.
GROUND_FARTHEST_M = 20.0
ROUNDS, KEPT_SHARE = 5, 0.8
# The ground's normal may lean so far from the vertical of an upright camera: a wall is no ground.
STEEPEST = np.cos(np.deg2rad(35))


def scale_from_depth(predicted_m: Floats, true_m: Floats) -> float | None:
    """Median ratio over the pixels that both know, metres, NaN unknown; None with fewer than 200 of them."""
    known = (
        np.isfinite(predicted_m)
        & (predicted_m > 0)
        & np.isfinite(true_m)
        & (true_m >= NEAREST_M)
        & (true_m <= FARTHEST_M)
    )
    if np.count_nonzero(known) < LEAST_PIXELS:
        return None
    return float(np.median(true_m[known] / predicted_m[known]))


def scale_from_points(predicted_m: Floats, points_m: NDArray[np.floating], camera: Pinhole) -> float | None:
    """The same with N×3 points in the camera's optical frame, such as those of a LiDAR.

    Several points on one pixel count as the nearest: what lies behind it is hidden.
    """
    height, width = predicted_m.shape
    x, y, z = np.asarray(points_m, np.float64).T
    ahead = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & (z > 0)
    x, y, z = x[ahead], y[ahead], z[ahead]
    columns = np.rint(camera.fx_px * x / z + camera.cx_px)
    rows = np.rint(camera.fy_px * y / z + camera.cy_px)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    true_m = np.full(predicted_m.shape, np.inf, np.float32)
    np.minimum.at(true_m, (rows[inside].astype(int), columns[inside].astype(int)), z[inside].astype(np.float32))
    return scale_from_depth(predicted_m, np.where(np.isinf(true_m), np.float32(np.nan), true_m))


def scale_from_ground(
    predicted_m: Floats, is_ground: NDArray[np.bool_], camera: Pinhole, camera_height_m: float
) -> float | None:
    """True height of the camera over the ground divided by the one that depth says; None without enough ground.

    A plane is fitted to the ground's points, again and again to the four fifths that fit it best.
    """
    rows, columns = np.nonzero(
        is_ground & np.isfinite(predicted_m) & (predicted_m > 0) & (predicted_m < GROUND_FARTHEST_M)
    )
    if len(rows) < LEAST_PIXELS:
        return None
    points = camera.points(rows, columns, predicted_m[rows, columns]).astype(np.float64)
    kept = points
    for _ in range(ROUNDS):
        middle = kept.mean(0)
        normal = np.linalg.svd(kept - middle, full_matrices=False)[2][-1]
        distances = np.abs((points - middle) @ normal)
        kept = points[distances <= np.quantile(distances, KEPT_SHARE)]
    if abs(normal[1]) < STEEPEST:
        return None
    return camera_height_m / abs(float(middle @ normal))
