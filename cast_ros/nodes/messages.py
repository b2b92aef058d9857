# SPDX-License-Identifier: Apache-2.0
"""Answers as ROS messages: maps, calibrations, instances in space and point clouds.

A calibration that is published has region of interest and binning (REP 104) applied: K and P are those of the published
map, so that a consumer who reads K alone is right too.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import Header
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose
from visualization_msgs.msg import Marker, MarkerArray

from cast_ros.images import ImageFields, image_fields
from cast_ros.images.camera_info import CameraModel
from cast_ros.nodes.target_frame import Placement
from cast_ros.scene import POINT, LocatedObject
from cast_ros.student import StudentContract

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


def image_message(pixels: NDArray[Any], encoding: str, header: Header) -> Image:
    """An Image with this header and a copy of the pixels.

    Raises:
        ImageError: the array's type or shape is not what the encoding says.
    """
    fields = image_fields(pixels, encoding)
    message = _without_data(fields, header)
    fill_data(message, fields.data)
    return message


def image_message_to_publish(pixels: NDArray[Any], encoding: str, header: Header) -> Image:
    """As `image_message`, but the message borrows the array: publish it, and do not read or keep it.

    Publishing takes any buffer that is in `data`; the copy into an array.array would cost more than all the rest of it.
    """
    fields = image_fields(pixels, encoding)
    message = _without_data(fields, header)
    if '_data' in message.__slots__:
        message._data = fields.data
    else:
        fill_data(message, fields.data)
    return message


def _without_data(fields: ImageFields, header: Header) -> Image:
    return Image(
        header=header,
        height=fields.height,
        width=fields.width,
        encoding=fields.encoding,
        is_bigendian=fields.is_bigendian,
        step=fields.step,
    )


def fill_data(message: Image | CompressedImage | PointCloud2, flat: NDArray[np.uint8]) -> None:
    """Sets `data` with one copy: the public setter copies an array.array once more, and anything else byte by byte."""
    payload = array.array('B')
    payload.frombytes(flat.data)
    if '_data' in message.__slots__:
        message._data = payload
    else:
        message.data = payload


def scaled_camera_info(camera: CameraModel, header: Header, width: int, height: int) -> CameraInfo:
    """The CameraInfo of a map of this size that shows the same view as the picture.

    Args:
        camera: of the picture.
        header: of the picture; the map carries the same.
        width: of the map, pixels.
        height: of the map, pixels.
    """
    return CameraInfo(
        header=header, width=width, height=height, roi=RegionOfInterest(), **camera.scaled(width, height)._asdict()
    )


def detections_3d_message(
    header: Header,
    objects: Iterable[LocatedObject],
    names: tuple[str, ...],
    scores: NDArray[np.float32],
    numbers: NDArray[np.uint16],
    placement: Placement | None = None,
) -> Detection3DArray:
    """Boxes in metres in the picture's optical frame, or where `placement` has it: its axes are those of the boxes.

    The id is that of the instance in the other outputs.

    The pose of the hypothesis is the nearest point of the object, the centre of the box its middle. `numbers` are
    (K + 1,), the id of row k at k + 1.
    """
    header = header if placement is None else placement.header
    message = Detection3DArray(header=header)
    for one in objects:
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = names[one.label]
        result.hypothesis.score = float(scores[one.row])
        nearest, centre = result.pose.pose.position, _placed(one.centre_m, placement)
        nearest.x, nearest.y, nearest.z = _placed(one.nearest_m, placement)
        detection = Detection3D(header=header, results=[result], id=str(numbers[one.row + 1]))
        position, size = detection.bbox.center.position, detection.bbox.size
        position.x, position.y, position.z = centre
        if placement is not None:
            detection.bbox.center.orientation = result.pose.pose.orientation = placement.orientation
        size.x, size.y, size.z = one.size_m.tolist()
        message.detections.append(detection)
    return message


def _placed(point_m: NDArray[np.float32], placement: Placement | None) -> list[float]:
    return [float(value) for value in (point_m if placement is None else placement.points(point_m))]


def markers_message(
    header: Header,
    objects: Iterable[LocatedObject],
    contract: StudentContract,
    numbers: NDArray[np.uint16],
    placement: Placement | None = None,
) -> MarkerArray:
    """A box in the colour of its class and its name with the distance, for each object; what was there goes first."""
    header = header if placement is None else placement.header
    message = MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
    for one in objects:
        entry, number = contract.classes[one.label], int(numbers[one.row + 1])
        box = _marker(header, 'boxes', number, Marker.CUBE, _placed(one.centre_m, placement), entry.color, 0.4)
        if placement is not None:
            box.pose.orientation = placement.orientation
        # RViz refuses boxes without thickness.
        box.scale.x, box.scale.y, box.scale.z = (max(0.01, size) for size in one.size_m.tolist())
        above_m = one.centre_m - np.array([0, one.size_m[1] / 2 + 0.2, 0], np.float32)
        name = _marker(
            header, 'names', number, Marker.TEXT_VIEW_FACING, _placed(above_m, placement), (255, 255, 255), 1.0
        )
        name.scale.z, name.text = 0.4, f'{entry.name} {one.distance_m:.1f} m'
        message.markers += [box, name]
    return message


def _marker(
    header: Header,
    namespace: str,
    number: int,
    kind: int,
    place_m: list[float],
    colour: tuple[int, int, int],
    alpha: float,
) -> Marker:
    marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD)
    position, marker.color.a = marker.pose.position, alpha
    position.x, position.y, position.z = place_m
    marker.color.r, marker.color.g, marker.color.b = (value / 255 for value in colour)
    return marker


def points_message(header: Header, points: NDArray[np.void]) -> PointCloud2:
    """An unordered cloud of ``POINT``; an empty one tells a consumer that there is nothing."""
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
