# SPDX-License-Identifier: Apache-2.0
"""Which topics carry pictures, and where their calibration is."""

from __future__ import annotations

from typing import Any

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE_TYPE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
PICTURE_TYPES = (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
TRANSPORTS = frozenset({'compressed', 'compressedDepth'})


def camera_info_beside(topic: str) -> str:
    """Where image_transport's convention has the camera_info of a picture topic: beside it."""
    parts = topic.split('/')
    if parts[-1] in TRANSPORTS:
        parts = parts[:-1]
    return '/'.join([*parts[:-1], 'camera_info'])


def picture_size(info: Any) -> tuple[int, int]:
    """Width and height of the pictures that a CameraInfo belongs to: its region of the sensor, binned (REP 104)."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return int(width) // max(1, int(info.binning_x)), int(height) // max(1, int(info.binning_y))
