# SPDX-License-Identifier: Apache-2.0
"""CameraInfo of the pictures that come in, and of the maps that go out.

What is published here has region of interest and binning (REP 104) applied: K and P are those of the published map, so
that a consumer who reads K alone is right too. Scaling follows image_proc: focal lengths and principal point alike are
multiplied by the factor.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from cast_ros.images.camera_info import picture_size

_REMEMBERED_CAMERAS = 16


def scaled_camera_info(info: CameraInfo, header: Header, width: int, height: int) -> CameraInfo:
    """The CameraInfo of a map of this size that shows the same view as the picture.

    Args:
        info: of the picture.
        header: of the picture; the map carries the same.
        width: of the map, pixels.
        height: of the map, pixels.
    """
    roi_width, roi_height = info.roi.width or info.width, info.roi.height or info.height
    x_scale, y_scale = width / roi_width, height / roi_height
    x_offset, y_offset = float(info.roi.x_offset), float(info.roi.y_offset)
    scaled = CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model=info.distortion_model,
        d=info.d,
        r=info.r,
        roi=RegionOfInterest(),
    )
    scaled.k = _scaled_rows(list(info.k), 3, x_scale, y_scale, x_offset, y_offset)
    scaled.p = _scaled_rows(list(info.p), 4, x_scale, y_scale, x_offset, y_offset)
    return scaled


def _scaled_rows(
    matrix: list[float], columns: int, x_scale: float, y_scale: float, x_offset: float, y_offset: float
) -> list[float]:
    """K (3×3) or P (3×4), row by row: shift the principal point by the offset, then scale the rows of x and y."""
    if matrix[0] == 0.0:  # uncalibrated: all zeros must stay all zeros
        return matrix
    shifted = list(matrix)
    shifted[2] -= x_offset
    shifted[columns + 2] -= y_offset
    x_row = [value * x_scale for value in shifted[:columns]]
    y_row = [value * y_scale for value in shifted[columns : 2 * columns]]
    return x_row + y_row + shifted[2 * columns :]


class CameraInfoCache:
    """The newest CameraInfo of each camera and picture size. Safe to fill in one thread and to read in another."""

    def __init__(self) -> None:
        self._infos: OrderedDict[tuple[str, int, int], CameraInfo] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, info: CameraInfo) -> None:
        """Keep this one in place of the last of the same frame id and size."""
        key = (info.header.frame_id, *picture_size(info))
        with self._lock:
            self._infos[key] = info
            self._infos.move_to_end(key)
            # A driver that invents frame ids must not fill the memory.
            while len(self._infos) > _REMEMBERED_CAMERAS:
                self._infos.popitem(last=False)

    def matching(self, header: Header, width: int, height: int) -> CameraInfo | None:
        """The CameraInfo of a picture with this header and size, or None: a foreign calibration is worse than none."""
        with self._lock:
            return self._infos.get((header.frame_id, width, height))

    def sizes_of(self, frame_id: str) -> list[tuple[int, int]]:
        """Sizes (width, height) for which this frame id has a CameraInfo, to explain a mismatch."""
        with self._lock:
            return [(width, height) for name, width, height in self._infos if name == frame_id]
