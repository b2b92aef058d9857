# SPDX-License-Identifier: Apache-2.0
"""What a sensor_msgs/CameraInfo says of its pictures, and which of its matrices holds; of rclpy or of a bag alike.

CameraInfo describes the full sensor; its region of interest and binning say which part of it, and how coarse, the
picture is (REP 104). Scaling follows image_proc: focal lengths and principal point alike are multiplied by the factor.
K is of the picture as the lens made it, P of the rectified one; one CameraInfo goes with both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Rectified = Literal['auto', 'true', 'false']
"""Whether pictures are rectified: known, or found from topic and calibration."""

# Where fx, fy, cx and cy stand.
_PLACES = {'K': (0, 4, 2, 5), 'P': (0, 5, 2, 6)}
_UNTURNED = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
# Relative; calibrators print five digits or more.
_SAME = 1e-3


def picture_size(info: Any) -> tuple[int, int]:
    """Width and height in pixels of the pictures that belong to this, region of interest and binning applied."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return int(width // max(info.binning_x, 1)), int(height // max(info.binning_y, 1))


def frame_of(header: Any) -> str:
    """The frame id as tf2 knows it: without the leading slash of ROS 1."""
    return str(header.frame_id).lstrip('/')


class MapCalibration(NamedTuple):
    """The fields of a CameraInfo of a map that shows the same view as the picture; region and binning are applied."""

    k: list[float]
    p: list[float]
    d: list[float]
    r: list[float]
    distortion_model: str


@dataclass(frozen=True, eq=False)
class CameraModel:
    """A CameraInfo, and which of its matrices is that of the pictures.

    Attributes:
        info: the message.
        matrix: 'K' or 'P'.
        reason: why that one.
        problem: why its numbers cannot be used; '' if they can.
        doubt: what a person should settle; '' if nothing.
    """

    info: Any
    matrix: str
    reason: str
    problem: str
    doubt: str = ''

    @classmethod
    def of(cls, info: Any, picture_topic: str, rectified: str = 'auto') -> CameraModel:
        """The model of the pictures on a topic.

        Args:
            info: their CameraInfo.
            picture_topic: resolved name; of `image_rect*` and `image_raw*` image_proc says what the pictures are.
            rectified: `auto`, `true` or `false`.
        """
        matrix, reason = _holding(info, picture_topic, rectified)
        problem = _problem(info, matrix)
        doubt = ''
        if reason == _DISTORTED and not problem and 'image_raw' not in picture_topic:
            doubt = _doubt(info)
        return cls(info, matrix, reason, problem, doubt)

    @classmethod
    def of_depth(cls, info: Any, topic: str) -> CameraModel:
        """The model of the depth images on a topic: P, as in depth_image_proc, unless they are named image_raw*."""
        return cls.of(info, topic, 'auto' if _is_named(topic, 'image_raw') else 'true')

    @property
    def fx_px(self) -> float | None:
        """Focal length in pixels of the picture (binning applied); None if it cannot be used."""
        return None if self.problem else _numbers(self.info, self.matrix)[0] / max(self.info.binning_x, 1)

    def scaled(self, width: int, height: int) -> MapCalibration:
        """For a map of this size.

        A rectified picture is that of a camera with P for K, without distortion and unturned: a reader of K alone is
        right too. Where a driver leaves P or R at zeros, or P is damaged, they are those of a camera that nobody
        rectified.
        """
        p = self._scaled_rows(self.info.p, 4, width, height)
        if self.matrix == 'P':
            d = [0.0] * len(self.info.d)
            return MapCalibration([*p[:3], *p[4:7], *p[8:11]], p, d, _UNTURNED, str(self.info.distortion_model))
        k = self._scaled_rows(self.info.k, 3, width, height)
        if _problem(self.info, 'P'):
            p = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]
        r = [float(value) for value in self.info.r]
        d = [float(value) for value in self.info.d]
        return MapCalibration(k, p, d, r if any(r) else _UNTURNED, str(self.info.distortion_model))

    def _scaled_rows(self, matrix: Iterable[float], columns: int, width: int, height: int) -> list[float]:
        """Shift the principal point by the offset of the region of interest, then scale the rows of x and y."""
        info, shifted = self.info, [float(value) for value in matrix]
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


_DISTORTED = 'camera_info has distortion, and the topic is not named image_rect*'


def _holding(info: Any, picture_topic: str, rectified: str) -> tuple[str, str]:
    """The matrix that holds, and why."""
    k, p = _numbers(info, 'K'), _numbers(info, 'P')
    if rectified == 'false':
        return 'K', 'rectified is false'
    if not any(p):
        return 'K', 'P is zero'
    if rectified == 'true':
        return 'P', 'rectified is true'
    if not any(k):
        return 'P', 'K is zero'
    for matrix in _PLACES:
        if _problem(info, matrix):
            return matrix, f'{matrix} is damaged'
    if _is_named(picture_topic, 'image_rect'):
        return 'P', 'the topic is named image_rect*'
    if all(math.isclose(a, b, rel_tol=_SAME) for a, b in zip(k, p, strict=True)):
        return 'K', 'K and P are equal'
    if _is_named(picture_topic, 'image_raw'):
        return 'K', 'the topic is named image_raw*'
    if any(info.d):
        return 'K', _DISTORTED
    return 'P', 'camera_info has no distortion, and K differs from P'


def _numbers(info: Any, matrix: str) -> tuple[float, ...]:
    """fx, fy, cx and cy in pixels of the sensor."""
    values = _values(info, matrix)
    return tuple(values[place] for place in _PLACES[matrix])


def _values(info: Any, matrix: str) -> list[float]:
    return [float(value) for value in (info.k if matrix == 'K' else info.p)]


def _problem(info: Any, matrix: str) -> str:
    """Why the numbers of a matrix cannot be those of a camera; '' if they can."""
    if not any(_numbers(info, matrix)):
        return f'{matrix} is zero'
    values = _values(info, matrix)
    for place, value in enumerate(values):
        if not math.isfinite(value):
            return f'{matrix}[{place}] is {value}'
    for place in _PLACES[matrix][:2]:
        if values[place] <= 0:
            return f'the focal length {matrix}[{place}] is {values[place]:g}'
    return ''


def _doubt(info: Any) -> str:
    """What a person should settle where K is a guess; '' if P would move no point by more than a hundredth of its z."""
    k, p = _numbers(info, 'K'), _numbers(info, 'P')
    for name, in_k, in_p in zip(('fx', 'fy', 'cx', 'cy'), k, p, strict=True):
        if abs(in_p - in_k) > 0.01 * k[0]:
            return (
                f'{name} is {in_k:.6g} in K and {in_p:.6g} in P of camera_info, and K is used: '
                "if the pictures are rectified, set rectified to 'true', otherwise to 'false'"
            )
    return ''


def _is_named(topic: str, start: str) -> bool:
    """Whether image_proc's name of such pictures begins a part of the topic."""
    return any(part.startswith(start) for part in topic.split('/'))
