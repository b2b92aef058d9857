# SPDX-License-Identifier: Apache-2.0
"""The calibration of each picture of a bag, from its camera_info."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cast_ros.images.camera_info import CameraModel, Rectified, picture_size
from cast_ros.images.camera_infos import RecordedCameraInfos
from cast_train.data.frames_manifest import Camera


@dataclass(frozen=True)
class Calibration:
    """What a calibrated CameraInfo says of its pictures, region of interest and binning applied (REP 104).

    Attributes:
        picture_px: width and height of those pictures.
        matrix: fx, fy, cx, cy in their pixels.
        model: of the distortion that is left in them.
        coefficients: of that.
    """

    picture_px: tuple[int, int]
    matrix: tuple[float, float, float, float]
    model: str
    coefficients: tuple[float, ...]

    @classmethod
    def of_camera(cls, camera: CameraModel) -> Calibration | None:
        """None for one that cannot be used: a wrong focal length is worse than none."""
        size = picture_size(camera.info)
        if camera.problem or not all(size):
            return None
        scaled = camera.scaled(*size)
        if not all(map(math.isfinite, scaled.d)):
            return None
        return cls(size, (scaled.k[0], scaled.k[4], scaled.k[2], scaled.k[5]), scaled.distortion_model, tuple(scaled.d))

    def camera(self, kept_px: tuple[int, int]) -> Camera:
        """The camera of a picture that was resized to ``kept_px`` (width, height).

        Scaling is that of image_proc: focal lengths and principal point alike are multiplied by the factor.
        """
        x_scale, y_scale = kept_px[0] / self.picture_px[0], kept_px[1] / self.picture_px[1]
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
    """All calibrations of a recording; hours of the same one take little memory.

    Args:
        picture_topic: of the pictures that they are for.
        rectified: as the node's parameter.

    Attributes:
        doubt: what a person should settle about the matrix that was taken; '' if nothing.
    """

    def __init__(self, picture_topic: str, rectified: Rectified = 'auto') -> None:
        self.doubt = ''
        self._picture_topic, self._rectified = picture_topic, rectified
        self._count = 0
        self._known: dict[Calibration, Calibration] = {}
        self._usable: RecordedCameraInfos[Calibration] = RecordedCameraInfos()

    def __len__(self) -> int:
        """How many there were, usable or not."""
        return self._count

    def add(self, stamp_ns: int, info: Any) -> None:
        """Remember a sensor_msgs/CameraInfo."""
        self._count += 1
        camera = CameraModel.of(info, self._picture_topic, self._rectified)
        calibration = Calibration.of_camera(camera)
        if calibration is not None:
            self._usable.add(stamp_ns, info, self._known.setdefault(calibration, calibration))
            self.doubt = self.doubt or camera.doubt

    def nearest(self, stamp_ns: int, frame: str, picture_px: tuple[int, int]) -> Calibration | None:
        """The usable one nearest in time of those for this frame (without a leading slash) and size; None without."""
        return self._usable.nearest(stamp_ns, frame, *picture_px)
