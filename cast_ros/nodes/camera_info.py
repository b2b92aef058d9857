# SPDX-License-Identifier: Apache-2.0
"""The calibrations of the pictures that come in, remembered until the pictures are here."""

from __future__ import annotations

import threading
from collections import OrderedDict

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from cast_ros.images.camera_info import picture_size

_REMEMBERED_CAMERAS = 16


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
