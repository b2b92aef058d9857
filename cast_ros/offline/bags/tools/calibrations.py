# SPDX-License-Identifier: Apache-2.0
"""Pictures of a bag against the camera_info beside them."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, NamedTuple

from cast_ros.images.camera_info import picture_size
from cast_ros.offline.bags.message_types import camera_info_beside
from cast_ros.offline.bags.tools.findings import Findings, Place

Size = tuple[int, int]


class _Picture(NamedTuple):
    stamp_ns: int
    size: Size
    number: int
    second: float


class CalibrationCheck:
    """Collects sizes by stamp and compares them at the end: which of the two is recorded first, nobody promises."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._sizes: dict[str, list[tuple[int, Size]]] = {}
        self._pictures: dict[str, list[_Picture]] = {}

    def add_info(self, topic: str, stamp_ns: int, info: Any, number: int, second: float) -> None:
        """A CameraInfo; one of an uncalibrated driver, which is all zeros, says nothing about sizes."""
        if not any(info.k):
            self._findings.add('zero-k', topic, Place(number, second, 'K is all 0'))
        if all(picture_size(info)):
            self._sizes.setdefault(topic, []).append((stamp_ns, picture_size(info)))

    def add_picture(self, topic: str, stamp_ns: int, size: Size, number: int, second: float) -> None:
        """A picture that decodes; ``size`` is width, height."""
        self._pictures.setdefault(topic, []).append(_Picture(stamp_ns, size, number, second))

    def judge(self) -> None:
        """Report pictures whose nearest calibration is for another size."""
        for topic, pictures in self._pictures.items():
            sizes = sorted(self._sizes.get(camera_info_beside(topic), []))
            stamps = [stamp for stamp, _ in sizes]
            for picture in pictures if sizes else []:
                place = bisect_left(stamps, picture.stamp_ns)
                around = sizes[max(0, place - 1) : place + 1]
                expected = min(around, key=lambda entry: abs(entry[0] - picture.stamp_ns))[1]
                if expected != picture.size:
                    detail = '{}×{} pixels, camera_info is for {}×{}'.format(*picture.size, *expected)
                    self._findings.add('camera-info-size', topic, Place(picture.number, picture.second, detail))
