# SPDX-License-Identifier: Apache-2.0
"""The message types that our bags know, and which topics carry images and their calibration.

Known are the types of ROS 2 Jazzy, and those of vision_msgs.

vision_msgs is not part of the type store of rosbags, so its fields are here; a test compares hashes with upstream's.
"""

from __future__ import annotations

from functools import lru_cache

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE_TYPE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
PICTURE_TYPES = (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
LABEL_INFO_TYPE = 'vision_msgs/msg/LabelInfo'
STRING_TYPE = 'std_msgs/msg/String'
INTERPRETED = frozenset(
    {
        *PICTURE_TYPES,
        CAMERA_INFO_TYPE,
        LABEL_INFO_TYPE,
        STRING_TYPE,
        'sensor_msgs/msg/PointCloud2',
        'tf2_msgs/msg/TFMessage',
    }
)
"""Types whose fields our tools look at; messages of all others are passed on as they are."""
TRANSPORTS = frozenset({'compressed', 'compressedDepth'})

VISION_MSGS: dict[str, str] = {
    'vision_msgs/msg/BoundingBox2D': ('vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n'),
    'vision_msgs/msg/Detection2D': (
        'std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox2D bbox\nstring id\n'
    ),
    'vision_msgs/msg/Detection2DArray': ('std_msgs/Header header\nDetection2D[] detections\n'),
    'vision_msgs/msg/BoundingBox3D': ('geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n'),
    'vision_msgs/msg/Detection3D': (
        'std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox3D bbox\nstring id\n'
    ),
    'vision_msgs/msg/Detection3DArray': ('std_msgs/Header header\nDetection3D[] detections\n'),
    'vision_msgs/msg/LabelInfo': ('std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n'),
    'vision_msgs/msg/ObjectHypothesis': ('string class_id\nfloat64 score\n'),
    'vision_msgs/msg/ObjectHypothesisWithPose': (
        'ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n'
    ),
    'vision_msgs/msg/Point2D': ('float64 x\nfloat64 y\n'),
    'vision_msgs/msg/Pose2D': ('vision_msgs/Point2D position\nfloat64 theta\n'),
    'vision_msgs/msg/VisionClass': ('uint16 class_id\nstring class_name\n'),
}


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """The shared store; its `types` give the classes to build messages from, by name."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, definition in VISION_MSGS.items():
        store.register(get_types_from_msg(definition, name))
    return store


def camera_info_beside(topic: str) -> str:
    """Where image_transport's convention has the camera_info of a picture topic: beside it."""
    parts = topic.split('/')
    if parts[-1] in TRANSPORTS:
        parts = parts[:-1]
    return '/'.join([*parts[:-1], 'camera_info'])
