# SPDX-License-Identifier: Apache-2.0
"""The calibration of each picture of a bag, from its camera_info."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from cast_ros.images.camera_info import CameraModel, frame_of, picture_size
from cast_train.data.frames_manifest import Camera


@dataclass(frozen=True)
class Calibration:
    """What a CameraInfo says of the pictures of one camera, region of interest and binning applied (REP 104).

    Attributes:
        picture_px: width and height of those pictures.
        frame: of its header, without a leading slash.
        matrix: fx, fy, cx, cy in their pixels; None for an uncalibrated camera.
        model: of the distortion that is left in them.
        coefficients: of that.
    """

    picture_px: tuple[int, int]
    frame: str
    matrix: tuple[float, float, float, float] | None
    model: str
    coefficients: tuple[float, ...]

    @classmethod
    def of_message(cls, info: Any, picture_topic: str) -> Calibration:
        """From a sensor_msgs/CameraInfo and the topic of its pictures."""
        model, size = CameraModel.of(info, picture_topic), picture_size(info)
        if model.problem or not all(size):
            return cls(size, frame_of(info.header), None, '', ())
        scaled = model.scaled(*size)
        matrix = (scaled.k[0], scaled.k[4], scaled.k[2], scaled.k[5])
        return cls(size, frame_of(info.header), matrix, scaled.distortion_model, tuple(scaled.d))

    def camera(self, picture_px: tuple[int, int], frame: str, kept_px: tuple[int, int]) -> Camera | None:
        """The camera of a picture of this frame that was resized from ``picture_px`` to ``kept_px`` (width, height).

        Scaling is that of image_proc: focal lengths and principal point alike are multiplied by the factor. None for a
        picture of another size or frame, and for an uncalibrated camera: a wrong focal length is worse than none.
        """
        if self.matrix is None or (picture_px, frame) != (self.picture_px, self.frame):
            return None
        if not all(map(math.isfinite, self.coefficients)):
            return None
        x_scale, y_scale = kept_px[0] / picture_px[0], kept_px[1] / picture_px[1]
        fx, fy, cx, cy = self.matrix
        return Camera(
            fx_px=fx * x_scale,
            fy_px=fy * y_scale,
            cx_px=cx * x_scale,
            cy_px=cy * y_scale,
            distortion_model=self.model,
            distortion=self.coefficients,
        )


class Calibrations:
    """All calibrations of a recording; hours of the same one take little memory."""

    def __init__(self) -> None:
        self._known: dict[Calibration, Calibration] = {}
        self._entries: list[tuple[int, Calibration]] = []
        self._is_sorted = True

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, stamp_ns: int, info: Any, picture_topic: str) -> None:
        """Remember a sensor_msgs/CameraInfo of the pictures on a topic."""
        calibration = Calibration.of_message(info, picture_topic)
        self._entries.append((stamp_ns, self._known.setdefault(calibration, calibration)))
        self._is_sorted = False

    def nearest(self, stamp_ns: int) -> Calibration | None:
        """The one nearest in time, whether before or after; None if there is none at all."""
        if not self._is_sorted:
            self._entries.sort(key=lambda entry: entry[0])
            self._is_sorted = True
        place = bisect_left(self._entries, stamp_ns, key=lambda entry: entry[0])
        around = self._entries[max(0, place - 1) : place + 1]
        return min(around, key=lambda entry: abs(entry[0] - stamp_ns))[1] if around else None
