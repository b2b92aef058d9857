# SPDX-License-Identifier: Apache-2.0
"""The calibration of each picture of a bag, from its camera_info."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from cast_train.data.frames_manifest import Camera


@dataclass(frozen=True)
class Calibration:
    """What a CameraInfo says; it describes the whole sensor, of which the picture may be a part, or coarser (REP 104).

    Attributes:
        view_px: width and height of the part of the sensor that the picture shows, in pixels of the sensor.
        offset_px: where that part begins.
        binning: pixels of the sensor per pixel of the picture, across and down.
        matrix: fx, fy, cx, cy in pixels of the sensor.
        model: of the distortion, as found.
        coefficients: of the distortion, as found.
    """

    view_px: tuple[int, int]
    offset_px: tuple[int, int]
    binning: tuple[int, int]
    matrix: tuple[float, float, float, float]
    model: str
    coefficients: tuple[float, ...]

    @classmethod
    def of_message(cls, info: Any) -> Calibration:
        """From a sensor_msgs/CameraInfo."""
        k = [float(value) for value in info.k]
        return cls(
            (int(info.roi.width or info.width), int(info.roi.height or info.height)),
            (int(info.roi.x_offset), int(info.roi.y_offset)),
            (max(1, int(info.binning_x)), max(1, int(info.binning_y))),
            (k[0], k[4], k[2], k[5]),
            str(info.distortion_model),
            tuple(float(value) for value in info.d),
        )

    @property
    def picture_px(self) -> tuple[int, int]:
        """Width and height of the pictures that belong to this."""
        return self.view_px[0] // self.binning[0], self.view_px[1] // self.binning[1]

    def camera(self, picture_px: tuple[int, int], kept_px: tuple[int, int]) -> Camera | None:
        """The camera of a picture that was resized from ``picture_px`` to ``kept_px`` (width, height).

        Scaling is that of image_proc: focal lengths and principal point alike are multiplied by the factor. None for a
        picture of another size, and for an uncalibrated camera: a wrong focal length is worse than none.
        """
        numbers = (*self.matrix, *self.coefficients)
        if picture_px != self.picture_px or not all(map(math.isfinite, numbers)) or min(self.matrix[:2]) <= 0:
            return None
        x_scale, y_scale = kept_px[0] / self.view_px[0], kept_px[1] / self.view_px[1]
        fx, fy, cx, cy = self.matrix
        return Camera(
            fx_px=fx * x_scale,
            fy_px=fy * y_scale,
            cx_px=(cx - self.offset_px[0]) * x_scale,
            cy_px=(cy - self.offset_px[1]) * y_scale,
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

    def add(self, stamp_ns: int, info: Any) -> None:
        """Remember a sensor_msgs/CameraInfo."""
        calibration = Calibration.of_message(info)
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
