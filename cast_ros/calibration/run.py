# SPDX-License-Identifier: Apache-2.0
"""`depth_scale` from a bag: the student's depth against a LiDAR, another depth topic, or the camera's height."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.bags import BagReader
from cast_ros.bags.messages import stamp_ns
from cast_ros.calibration.scales import scale_from_depth, scale_from_ground, scale_from_points
from cast_ros.calibration.transforms import StaticTransforms, moved
from cast_ros.errors import CastError
from cast_ros.images import decode_compressed_rgb, decode_image, decode_rgb
from cast_ros.scene import Pinhole
from cast_ros.student import Prediction, Student

COMPRESSED = 'sensor_msgs/msg/CompressedImage'
TF_STATIC = '/tf_static'
# Of picture and reference; sensors that nobody triggers together are rarely closer.
LARGEST_GAP_NS = 50_000_000
LEAST_FRAMES = 5
_POINT_TYPES = {7: '<f4', 8: '<f8'}


class CalibrationError(CastError):
    """The bag cannot tell the scale; says what is missing."""


@dataclass(frozen=True)
class Reference:
    """What is known beside the picture; exactly one.

    Attributes:
        camera_height_m: of the camera over flat ground.
        ground: names of the classes that are ground.
        depth_topic: sensor_msgs/Image, 32FC1 metres or 16UC1 millimetres, of the same view.
        points_topic: sensor_msgs/PointCloud2; /tf_static connects its frame with the camera's.
    """

    camera_height_m: float | None = None
    ground: tuple[str, ...] = ('road', 'sidewalk')
    depth_topic: str | None = None
    points_topic: str | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.camera_height_m, self.depth_topic, self.points_topic)) != 1:
            raise CalibrationError('name one reference: the height of the camera, a depth topic, or a point cloud')


@dataclass(frozen=True)
class CalibrationResult:
    """What came out.

    Attributes:
        depth_scale: for the parameter of that name.
        spread: half of the distance between the quartiles of the frames' scales.
        frames: that told a scale.
        looked_at: pictures that were looked at.
    """

    depth_scale: float
    spread: float
    frames: int
    looked_at: int


@dataclass(frozen=True)
class _Frame:
    rgb: NDArray[np.uint8]
    info: Any
    reference: Any


def calibrate(
    bag: Path, student: Student, image_topic: str, camera_info_topic: str, reference: Reference, frames: int = 100
) -> CalibrationResult:
    """Compare the student's depth with a reference on pictures spread over a bag.

    Args:
        bag: with pictures and their camera_info.
        student: with depth; for the camera's height also with the classes of the ground.
        image_topic: sensor_msgs/Image or CompressedImage.
        camera_info_topic: of the same camera.
        reference: what is known.
        frames: at most so many pictures.

    Raises:
        BagError: the bag cannot be read or lacks a topic.
        CalibrationError: too few pictures tell a scale.
        StudentError: the student cannot answer.
    """
    if 'depth' not in student.contract.heads:
        raise CalibrationError(f"student '{student.contract.name}' has no depth: there is nothing to scale")
    judge = _judge_of(student, reference)
    scales, looked_at = [], 0
    for frame, transforms in _frames(bag, image_topic, camera_info_topic, reference, frames):
        looked_at += 1
        height, width = frame.rgb.shape[:2]
        prediction = student.predict(frame.rgb, fx_px=float(frame.info.k[0]), size='network')
        scale = judge(prediction, _camera(frame.info, prediction, width, height), frame, transforms)
        if scale is not None:
            scales.append(scale)
    if len(scales) < LEAST_FRAMES:
        raise CalibrationError(
            f'{bag}: only {len(scales)} of {looked_at} pictures tell a scale, {LEAST_FRAMES} are needed: is the '
            'reference of the same view and time, and is enough of it between 2 and 40 m?'
        )
    low, middle, high = np.percentile(scales, (25, 50, 75))
    return CalibrationResult(float(middle), float(high - low) / 2, len(scales), looked_at)


Judge = Callable[[Prediction, Pinhole, _Frame, StaticTransforms], float | None]


def _judge_of(student: Student, reference: Reference) -> Judge:
    if reference.camera_height_m is not None:
        return _by_height(student, reference.ground, reference.camera_height_m)
    return _by_depth if reference.depth_topic is not None else _by_points


def _by_height(student: Student, names: tuple[str, ...], camera_height_m: float) -> Judge:
    ids = [entry.id for entry in student.contract.classes if entry.name in names]
    if not ids or 'semantic' not in student.contract.heads:
        raise CalibrationError(
            f"student '{student.contract.name}' knows none of the ground classes {', '.join(names)}; it knows "
            f'{", ".join(student.contract.class_names)}'
        )

    def judge(prediction: Prediction, camera: Pinhole, frame: _Frame, _: StaticTransforms) -> float | None:
        assert prediction.depth is not None
        assert prediction.semantic is not None
        return scale_from_ground(prediction.depth, np.isin(prediction.semantic, ids), camera, camera_height_m)

    return judge


def _by_depth(prediction: Prediction, camera: Pinhole, frame: _Frame, _: StaticTransforms) -> float | None:
    assert prediction.depth is not None
    values = decode_image(frame.reference)
    metres = values.astype(np.float32) / (1000 if values.dtype == np.uint16 else 1)
    metres[~(metres > 0)] = np.nan
    rows = (2 * np.arange(prediction.height) + 1) * len(metres) // (2 * prediction.height)
    columns = (2 * np.arange(prediction.width) + 1) * metres.shape[1] // (2 * prediction.width)
    return scale_from_depth(prediction.depth, metres[np.ix_(rows, columns)])


def _by_points(prediction: Prediction, camera: Pinhole, frame: _Frame, transforms: StaticTransforms) -> float | None:
    assert prediction.depth is not None
    cloud, camera_frame = frame.reference, frame.info.header.frame_id
    matrix = transforms.between(cloud.header.frame_id, camera_frame)
    if matrix is None:
        raise CalibrationError(
            f"nothing on {TF_STATIC} connects the frame '{cloud.header.frame_id}' of the points with the camera's "
            f"'{camera_frame}': record it too"
        )
    return scale_from_points(prediction.depth, moved(points_of(cloud), matrix), camera)


def points_of(cloud: Any) -> NDArray[np.float32]:
    """N×3 float32 metres of a sensor_msgs/PointCloud2.

    Raises:
        CalibrationError: it has no x, y and z, or they are no floats.
    """
    places = {field.name: field for field in cloud.fields}
    wanted = [places[name] for name in 'xyz' if name in places]
    if len(wanted) < 3 or any(field.datatype not in _POINT_TYPES for field in wanted):
        raise CalibrationError(f'the point cloud has the fields {", ".join(places)}; x, y and z must be floats')
    data = np.frombuffer(bytes(memoryview(cloud.data)), np.uint8)
    rows = data[: cloud.row_step * cloud.height].reshape(cloud.height, cloud.row_step)
    packed: NDArray[Any] = rows[:, : cloud.point_step * cloud.width].reshape(-1, cloud.point_step)
    order = '>' if cloud.is_bigendian else '<'
    columns = []
    for field in wanted:
        kind = np.dtype(order + _POINT_TYPES[field.datatype][1:])
        columns.append(packed[:, field.offset : field.offset + kind.itemsize].copy().view(kind)[:, 0])
    return np.stack(columns, 1).astype(np.float32)


def _camera(info: Any, prediction: Prediction, width: int, height: int) -> Pinhole:
    """Of the prediction's maps, for a picture of this size."""
    x_scale, y_scale = prediction.width / width, prediction.height / height
    return Pinhole(
        float(info.k[0]) * x_scale, float(info.k[4]) * y_scale, float(info.k[2]) * x_scale, float(info.k[5]) * y_scale
    )


def _frames(
    bag: Path, image_topic: str, camera_info_topic: str, reference: Reference, count: int
) -> Iterator[tuple[_Frame, StaticTransforms]]:
    """Pictures spread over the bag, with the newest calibration and the reference that is nearest in time."""
    transforms = StaticTransforms()
    other = reference.depth_topic or reference.points_topic
    with BagReader(bag) as reader:
        known = reader.topics()
        wanted = [image_topic, camera_info_topic, *([other] if other else [])]
        if reference.points_topic and TF_STATIC in known:
            wanted.append(TF_STATIC)
        is_compressed = image_topic in known and known[image_topic].msgtype == COMPRESSED
        every = max(1, known[image_topic].message_count // count) if image_topic in known else 1
        info, seen = None, 0
        waiting: list[tuple[Any, Any]] = []
        references: list[Any] = []
        for entry in reader.messages(wanted):
            if entry.topic == TF_STATIC:
                transforms.add(entry.message.transforms)
            elif entry.topic == camera_info_topic:
                info = entry.message if float(entry.message.k[0]) > 0 else info
            elif entry.topic == other:
                references = [*references, entry.message][-50:]
            elif entry.topic == image_topic:
                seen += 1
                if (seen - 1) % every == 0 and info is not None:
                    waiting.append((entry.message, info))
            yield from _complete(waiting, references, other is None, is_compressed, transforms, last=False)
        if info is None:
            raise CalibrationError(f"{bag}: no calibrated camera_info on '{camera_info_topic}'")
        yield from _complete(waiting, references, other is None, is_compressed, transforms, last=True)


def _complete(
    waiting: list[tuple[Any, Any]],
    references: list[Any],
    without_reference: bool,
    is_compressed: bool,
    transforms: StaticTransforms,
    last: bool,
) -> Iterator[tuple[_Frame, StaticTransforms]]:
    """The pictures whose reference is known by now: nothing later can be nearer."""
    while waiting:
        message, info = waiting[0]
        found = None
        if not without_reference:
            at_ns = stamp_ns(message)
            if not last and (not references or stamp_ns(references[-1]) < at_ns + LARGEST_GAP_NS):
                return
            near = [one for one in references if abs(stamp_ns(one) - at_ns) <= LARGEST_GAP_NS]
            found = min(near, key=lambda one: abs(stamp_ns(one) - at_ns), default=None)
        waiting.pop(0)
        if found is not None or without_reference:
            rgb = decode_compressed_rgb(message) if is_compressed else decode_rgb(message)
            yield _Frame(rgb, info, found), transforms
