# SPDX-License-Identifier: Apache-2.0
"""Which CameraInfo belongs to a picture: one of its frame and size, the newest as pictures come, else the nearest."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import OrderedDict
from operator import itemgetter
from typing import Any, Generic, TypeVar

from cast_ros.images.camera_info import frame_of, picture_size

_REMEMBERED = 16
Known = TypeVar('Known')


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
        key = _key(info)
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


class RecordedCameraInfos(Generic[Known]):
    """What is known from each CameraInfo of a recording, for readers that may look ahead."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int, int], list[tuple[int, Known]]] = {}

    def add(self, stamp_ns: int, info: Any, known: Known) -> None:
        """What is known from this one."""
        insort(self._entries.setdefault(_key(info), []), (stamp_ns, known), key=itemgetter(0))

    def nearest(self, stamp_ns: int, frame: str, width: int, height: int) -> Known | None:
        """Of the one nearest in time, before or after, for this frame (without a leading slash) and size."""
        entries = self._entries.get((frame, width, height), [])
        after = bisect_left(entries, stamp_ns, key=itemgetter(0))
        around = entries[max(0, after - 1) : after + 1]
        return min(around, key=lambda entry: abs(entry[0] - stamp_ns))[1] if around else None


def _key(info: Any) -> tuple[str, int, int]:
    return (frame_of(info.header), *picture_size(info))
