# SPDX-License-Identifier: Apache-2.0
"""Which CameraInfo belongs to a picture: the newest of its frame and size. Node, replay and calibration ask here."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from cast_ros.images.camera_info import frame_of, picture_size

_REMEMBERED = 16


def misfit(info: Any, header: Any, width: int, height: int) -> str:
    """Why a CameraInfo is not that of a picture with this header and size; '' if it is."""
    expected = picture_size(info)
    if expected != (width, height):
        filled = '' if all(expected) else ' (the driver leaves its size empty)'
        return f'camera_info is for {expected[0]}x{expected[1]} pixels{filled}, the picture has {width}x{height}'
    if frame_of(info.header) != frame_of(header):
        return f"camera_info is of frame '{info.header.frame_id}', the picture of '{header.frame_id}'"
    return ''


class CameraInfoCache:
    """The newest CameraInfo of each camera and picture size. Safe to fill in one thread and to read in another."""

    def __init__(self) -> None:
        self._infos: OrderedDict[tuple[str, int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, info: Any) -> None:
        """Keep this one in place of the last of the same frame id and size."""
        key = (frame_of(info.header), *picture_size(info))
        with self._lock:
            self._infos[key] = info
            self._infos.move_to_end(key)
            # A driver that invents frame ids must not fill the memory.
            while len(self._infos) > _REMEMBERED:
                self._infos.popitem(last=False)

    def matching(self, header: Any, width: int, height: int) -> Any | None:
        """The CameraInfo of a picture with this header and size, or None: a foreign calibration is worse than none."""
        with self._lock:
            return self._infos.get((frame_of(header), width, height))

    def why_none(self, header: Any, width: int, height: int) -> str:
        """One sentence for a picture that has none, with what there is instead."""
        with self._lock:
            infos = list(self._infos.values())
        wanted = f"no camera_info for frame '{header.frame_id}' with {width}x{height} pixels"
        # The newest of the same frame tells more than one of another camera.
        same = [info for info in infos if frame_of(info.header) == frame_of(header)]
        return f'{wanted}: {misfit((same or infos)[-1], header, width, height)}' if infos else wanted

    def copy(self) -> CameraInfoCache:
        """What is known now, for a picture that waits."""
        other = CameraInfoCache()
        with self._lock:
            other._infos = self._infos.copy()
        return other

    def __len__(self) -> int:
        return len(self._infos)
