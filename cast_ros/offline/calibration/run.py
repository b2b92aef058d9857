# SPDX-License-Identifier: Apache-2.0
"""`depth_scale` from a bag: the student's depth against a LiDAR, another depth topic, or the camera's height."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import CalibrationError
from cast_ros.images.camera_info import Rectified, frame_of
from cast_ros.offline.bags import Damage
from cast_ros.offline.calibration.frames import (
    TF_STATIC,
    CalibrationFrames,
    MeasuredFrame,
    Reference,
    StaticTransforms,
    moved,
)
from cast_ros.scene import Pinhole
from cast_ros.student import Prediction, Student

LEAST_FRAMES = 5
_POINT_TYPES = {7: '<f4', 8: '<f8'}
# Nearer than this a robot sees itself, farther away one picture says little about metres.
NEAREST_M, FARTHEST_M = 2.0, 40.0
LEAST_PIXELS = 200
# Of the ground: farther away it is a few rows that say nothing about its slope.
GROUND_FARTHEST_M = 20.0
ROUNDS, KEPT_SHARE = 5, 0.8
# The ground's normal may lean so far from the vertical of an upright camera: a wall is no ground.
STEEPEST = np.cos(np.deg2rad(35))

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class CalibrationResult:
    """What came out.

    Attributes:
        depth_scale: for the parameter of that name.
        spread: half of the distance between the quartiles of the frames' scales.
        frames: that told a scale.
        looked_at: pictures that were looked at.
        uncalibrated: of those, without a camera_info of their frame and size; they tell no scale.
        unreadable: of those, damaged, or with a damaged depth image; they tell no scale either.
        damages: of the bag.
        doubt: what a person should settle about the pictures' matrix; '' if nothing.
    """

    depth_scale: float
    spread: float
    frames: int
    looked_at: int
    uncalibrated: int
    unreadable: int
    damages: tuple[Damage, ...] = ()
    doubt: str = ''


def calibrate(
    bag: Path,
    student: Student,
    image_topic: str,
    camera_info_topic: str,
    reference: Reference,
    frames: int = 100,
    rectified: Rectified = 'auto',
) -> CalibrationResult:
    """Compare the student's depth with a reference on pictures spread over a bag.

    Args:
        bag: with pictures and their camera_info.
        student: with depth; for the camera's height also with the classes of the ground.
        image_topic: sensor_msgs/Image or CompressedImage.
        camera_info_topic: of the same camera.
        reference: what is known.
        frames: at most so many pictures.
        rectified: as the node's parameter.

    Raises:
        BagError: the bag cannot be read.
        CalibrationError: too few pictures tell a scale, or a topic is missing or of another type.
        StudentError: the student cannot answer.
    """
    if 'depth' not in student.contract.heads:
        raise CalibrationError(f"student '{student.contract.name}' has no depth: there is nothing to scale")
    judge = _judge_of(student, reference)
    pictures = CalibrationFrames(bag, image_topic, camera_info_topic, reference, frames, rectified)
    scales, seen, uncalibrated = [], 0, 0
    unfit: MeasuredFrame | None = None
    for frame in pictures:
        seen += 1
        if frame.camera is None:
            uncalibrated += 1
            unfit = unfit or frame
            continue
        prediction = student.predict(frame.rgb, fx_px=frame.camera.fx_px, size='network')
        # As the node does it: of the map, with region of interest and binning applied.
        camera = Pinhole.of_k(frame.camera.scaled(prediction.width, prediction.height).k)
        scale = judge(prediction, camera, frame, pictures.transforms)
        if scale is not None:
            scales.append(scale)
    if unfit is not None and uncalibrated == seen:
        raise CalibrationError(_no_fitting_info(bag, camera_info_topic, unfit, pictures))
    looked_at, unreadable = seen + len(pictures.unreadable), len(pictures.unreadable)
    if len(scales) < LEAST_FRAMES:
        reasons = [f'{uncalibrated} have no camera_info of their frame and size'] if uncalibrated else []
        reasons += [f'{unreadable} cannot be read: {pictures.unreadable[0]}'] if unreadable else []
        reasons += map(str, pictures.damages)
        without = f' ({"; ".join(reasons)})' if reasons else ''
        raise CalibrationError(
            f'{bag}: only {len(scales)} of {looked_at} pictures tell a scale{without}, {LEAST_FRAMES} are needed: is '
            'the reference of the same view and time, and is enough of it between 2 and 40 m?'
        )
    low, middle, high = np.percentile(scales, (25, 50, 75))
    spread = float(high - low) / 2
    return CalibrationResult(
        float(middle), spread, len(scales), looked_at, uncalibrated, unreadable, pictures.damages, pictures.doubt
    )


def _no_fitting_info(bag: Path, topic: str, frame: MeasuredFrame, pictures: CalibrationFrames) -> str:
    height, width = frame.rgb.shape[:2]
    info = pictures.infos.matching(frame.header, width, height)
    if info is not None:
        return f"{bag}: no calibrated camera_info on '{topic}': {pictures.model_of(info).problem}"
    problem = pictures.infos.why_none(frame.header, width, height)
    return f"{bag}, '{topic}': {problem}; the node would not take it either: record the one of these pictures"


Judge = Callable[[Prediction, Pinhole, MeasuredFrame, StaticTransforms], float | None]


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

    def judge(prediction: Prediction, camera: Pinhole, frame: MeasuredFrame, _: StaticTransforms) -> float | None:
        assert prediction.depth is not None
        assert prediction.semantic is not None
        return scale_from_ground(prediction.depth, np.isin(prediction.semantic, ids), camera, camera_height_m)

    return judge


def _by_depth(
    prediction: Prediction, camera: Pinhole, frame: MeasuredFrame, transforms: StaticTransforms
) -> float | None:
    assert prediction.depth is not None
    assert frame.depth is not None
    metres, own = frame.depth.metres, frame_of(frame.header)
    if frame.depth.camera is not None:
        matrix = transforms.between(frame.depth.frame_id, own)
        if matrix is None:
            raise CalibrationError(
                f"the depth image is of frame '{frame.depth.frame_id}', the picture of '{own}', and nothing on "
                f'{TF_STATIC} connects them: record it too, or name depth that is registered to the picture'
            )
        height, width = metres.shape
        rows, columns = np.nonzero(np.isfinite(metres))
        eye = Pinhole.of_k(frame.depth.camera.scaled(width, height).k)
        points = moved(eye.points(rows, columns, metres[rows, columns]), matrix)
        return scale_from_points(prediction.depth, points, camera)
    if frame.depth.frame_id != own:
        raise CalibrationError(
            f"the depth image is of frame '{frame.depth.frame_id}', the picture of '{own}', and no camera_info beside "
            'the depth topic fits it: record it and /tf_static, or name depth that is registered to the picture'
        )
    (height, width), (across, down) = frame.rgb.shape[:2], metres.shape[::-1]
    if abs(width * down - height * across) > max(width, height):
        raise CalibrationError(
            f'the depth image has {across}x{down} pixels, the picture {width}x{height}: without a camera_info beside '
            'the depth topic they are of one view only if one is a scaled copy of the other'
        )
    rows = (2 * np.arange(prediction.height) + 1) * len(metres) // (2 * prediction.height)
    columns = (2 * np.arange(prediction.width) + 1) * metres.shape[1] // (2 * prediction.width)
    return scale_from_depth(prediction.depth, metres[np.ix_(rows, columns)])


def _by_points(
    prediction: Prediction, camera: Pinhole, frame: MeasuredFrame, transforms: StaticTransforms
) -> float | None:
    assert prediction.depth is not None
    assert frame.points is not None
    cloud, camera_frame = frame.points, frame_of(frame.header)
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
        CalibrationError: it has no x, y and z, or they are no floats; or bytes are missing.
    """
    places = {field.name: field for field in cloud.fields}
    wanted = [places[name] for name in 'xyz' if name in places]
    if len(wanted) < 3 or any(field.datatype not in _POINT_TYPES for field in wanted):
        raise CalibrationError(f'the point cloud has the fields {", ".join(places)}; x, y and z must be floats')
    data = np.frombuffer(bytes(memoryview(cloud.data)), np.uint8)
    if len(data) < cloud.row_step * cloud.height or cloud.row_step < cloud.point_step * cloud.width:
        raise CalibrationError(
            f'the point cloud has {len(data)} bytes, too few for {cloud.height} rows of {cloud.width} points; see to '
            'its driver'
        )
    rows = data[: cloud.row_step * cloud.height].reshape(cloud.height, cloud.row_step)
    packed: NDArray[Any] = rows[:, : cloud.point_step * cloud.width].reshape(-1, cloud.point_step)
    order = '>' if cloud.is_bigendian else '<'
    columns = []
    for field in wanted:
        kind = np.dtype(order + _POINT_TYPES[field.datatype][1:])
        columns.append(packed[:, field.offset : field.offset + kind.itemsize].copy().view(kind)[:, 0])
    return np.stack(columns, 1).astype(np.float32)


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
