# SPDX-License-Identifier: Apache-2.0
"""Which topics carry pictures, and where their calibration is."""

from __future__ import annotations

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
