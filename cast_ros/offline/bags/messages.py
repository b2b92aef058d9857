# SPDX-License-Identifier: Apache-2.0
"""Builds the messages that our bags hold, without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.images import image_fields
from cast_ros.offline.bags.message_types import typestore

NANOSECONDS = 1_000_000_000


def stamp_ns(message: Any) -> int:
    """Nanoseconds of a message's header stamp; works on rclpy messages too."""
    stamp = message.header.stamp
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def header(at_ns: int, frame_id: str) -> Any:
    """A std_msgs/Header."""
    types = typestore().types
    stamp = types['builtin_interfaces/msg/Time'](at_ns // NANOSECONDS, at_ns % NANOSECONDS)
    return types['std_msgs/msg/Header'](stamp, frame_id)


def image(at_ns: int, frame_id: str, array: NDArray[Any], encoding: str) -> Any:
    """A sensor_msgs/Image of an array that fits the encoding."""
    fields = image_fields(array, encoding)
    return typestore().types['sensor_msgs/msg/Image'](
        header(at_ns, frame_id),
        fields.height,
        fields.width,
        fields.encoding,
        fields.is_bigendian,
        fields.step,
        fields.data,
    )


def compressed_image(at_ns: int, frame_id: str, payload: bytes, kind: str) -> Any:
    """A sensor_msgs/CompressedImage; `kind` is its format, such as 'bgr8; jpeg compressed bgr8'."""
    data = np.frombuffer(payload, dtype=np.uint8)
    return typestore().types['sensor_msgs/msg/CompressedImage'](header(at_ns, frame_id), kind, data)


def camera_info(
    at_ns: int, frame_id: str, size: tuple[int, int], focal_px: tuple[float, float], centre_px: tuple[float, float]
) -> Any:
    """A sensor_msgs/CameraInfo of a rectified pinhole camera; `size` is width, height."""
    types = typestore().types
    (fx, fy), (cx, cy) = focal_px, centre_px
    return types['sensor_msgs/msg/CameraInfo'](
        header(at_ns, frame_id),
        size[1],
        size[0],
        'plumb_bob',
        np.zeros(5),
        np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1], dtype=np.float64),
        np.eye(3).reshape(-1),
        np.array([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0], dtype=np.float64),
        0,
        0,
        types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
    )


def label_info(at_ns: int, frame_id: str, names: Mapping[int, str]) -> Any:
    """A vision_msgs/LabelInfo: class id to class name."""
    types = typestore().types
    classes = [types['vision_msgs/msg/VisionClass'](number, name) for number, name in names.items()]
    return types['vision_msgs/msg/LabelInfo'](header(at_ns, frame_id), classes, 0.0)


def text(content: str) -> Any:
    """A std_msgs/String."""
    return typestore().types['std_msgs/msg/String'](content)
