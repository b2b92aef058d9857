# SPDX-License-Identifier: Apache-2.0
"""What a sensor_msgs/CameraInfo says of its pictures; of rclpy or of a bag alike.

CameraInfo describes the full sensor; its region of interest and binning say which part of it, and how coarse, the
picture is (REP 104). Scaling follows image_proc: focal lengths and principal point alike are multiplied by the factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def picture_size(info: Any) -> tuple[int, int]:
    """Width and height in pixels of the pictures that belong to this, region of interest and binning applied."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return int(width // max(info.binning_x, 1)), int(height // max(info.binning_y, 1))


def focal_length_px(info: Any) -> float | None:
    """The fx in pixels of the picture (binning applied); None for an uncalibrated camera (K[0] = 0)."""
    fx = float(info.k[0]) / max(info.binning_x, 1)
    return fx if math.isfinite(fx) and fx > 0 else None


def scaled_k(info: Any, width: int, height: int) -> list[float]:
    """K (nine numbers, row by row) of a map of this size that shows the same view as the picture."""
    return _scaled_rows(info, info.k, 3, width, height)


def scaled_p(info: Any, width: int, height: int) -> list[float]:
    """P (twelve numbers, row by row), likewise."""
    return _scaled_rows(info, info.p, 4, width, height)


def _scaled_rows(info: Any, matrix: Iterable[float], columns: int, width: int, height: int) -> list[float]:
    """Shift the principal point by the offset of the region of interest, then scale the rows of x and y."""
    shifted = [float(value) for value in matrix]
    if shifted[0] == 0.0:  # uncalibrated: all zeros must stay all zeros
        return shifted
    # By way of the picture: binning that leaves a last column out does not make pixels wider.
    across, down = picture_size(info)
    x_scale, y_scale = width / (across * max(info.binning_x, 1)), height / (down * max(info.binning_y, 1))
    shifted[2] -= float(info.roi.x_offset)
    shifted[columns + 2] -= float(info.roi.y_offset)
    x_row = [value * x_scale for value in shifted[:columns]]
    y_row = [value * y_scale for value in shifted[columns : 2 * columns]]
    return x_row + y_row + shifted[2 * columns :]
