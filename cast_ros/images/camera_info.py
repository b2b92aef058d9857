# SPDX-License-Identifier: Apache-2.0
"""What a sensor_msgs/CameraInfo says of its pictures; of rclpy or of a bag alike.

CameraInfo describes the full sensor; its region of interest and binning say which part of it, and how coarse, the
picture is (REP 104).
"""

from __future__ import annotations

import math
from typing import Any


def picture_size(info: Any) -> tuple[int, int]:
    """Width and height in pixels of the pictures that belong to this, region of interest and binning applied."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return int(width // max(info.binning_x, 1)), int(height // max(info.binning_y, 1))


def focal_length_px(info: Any) -> float | None:
    """The fx in pixels of the picture (binning applied); None for an uncalibrated camera (K[0] = 0)."""
    fx = float(info.k[0]) / max(info.binning_x, 1)
    return fx if math.isfinite(fx) and fx > 0 else None
