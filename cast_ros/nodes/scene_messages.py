# SPDX-License-Identifier: Apache-2.0
"""Instances in space and point clouds as messages."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField
from std_msgs.msg import Header
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

from cast_ros.nodes.camera_info import scaled_camera_info
from cast_ros.nodes.image_codec import fill_data
from cast_ros.scene import POINT, LocatedObject, Pinhole

_DATATYPES = {'<f4': PointField.FLOAT32, '<u4': PointField.UINT32, '<u2': PointField.UINT16}
# PCL and rviz read the colour as the bits of a float.
_RGB = 'rgb'
POINT_FIELDS = [
    PointField(
        name=name,
        offset=int(offset),
        datatype=PointField.FLOAT32 if name == _RGB else _DATATYPES[dtype.str],
        count=1,
    )
    for name, (dtype, offset, *_) in (POINT.fields or {}).items()
]


def pinhole_of(info: CameraInfo, header: Header, width: int, height: int) -> Pinhole:
    """The camera of a map of this size that shows the same view as the picture; K without its distortion."""
    k = scaled_camera_info(info, header, width, height).k
    return Pinhole(float(k[0]), float(k[4]), float(k[2]), float(k[5]))


def detections_3d_message(
    header: Header,
    objects: Iterable[LocatedObject],
    names: tuple[str, ...],
    scores: NDArray[np.float32],
    numbers: NDArray[np.uint16],
) -> Detection3DArray:
    """Boxes in metres in the picture's optical frame; the id is that of the instance in the other outputs.

    The pose of the hypothesis is the nearest point of the object, the centre of the box its middle. `numbers` are
    (K + 1,), the id of row k at k + 1.
    """
    message = Detection3DArray(header=header)
    for one in objects:
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = names[one.label]
        result.hypothesis.score = float(scores[one.row])
        nearest, centre = result.pose.pose.position, one.centre_m.tolist()
        nearest.x, nearest.y, nearest.z = one.nearest_m.tolist()
        detection = Detection3D(header=header, results=[result], id=str(numbers[one.row + 1]))
        position, size = detection.bbox.center.position, detection.bbox.size
        position.x, position.y, position.z = centre
        size.x, size.y, size.z = one.size_m.tolist()
        message.detections.append(detection)
    return message


def points_message(header: Header, points: NDArray[np.void]) -> PointCloud2:
    """An unordered cloud of ``POINT``; an empty one clears what a consumer remembers."""
    message = PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=POINT_FIELDS,
        is_bigendian=sys.byteorder == 'big',
        point_step=POINT.itemsize,
        row_step=POINT.itemsize * len(points),
        is_dense=True,
    )
    fill_data(message, points.view(np.uint8))
    return message
