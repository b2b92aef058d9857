# SPDX-License-Identifier: Apache-2.0
"""Reads a bag from end to end and says all that is wrong with it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import BagError
from cast_ros.images.camera_info import CameraModel, Rectified, frame_of, picture_size
from cast_ros.offline.bags import BagReader, Damage, RawMessage
from cast_ros.offline.bags.ground_truth_topics import LABEL_TOPICS
from cast_ros.offline.bags.message_types import CAMERA_INFO_TYPE, PICTURE_TYPES, camera_info_beside
from cast_ros.offline.bags.messages import NANOSECONDS, stamp_ns
from cast_ros.offline.bags.pictures import is_depth
from cast_ros.offline.bags.tools.findings import Finding, Findings, Place
from cast_ros.offline.bags.tools.pictures import PictureCheck

# Streams of sensors come at a rate; what others publish may come whenever they like.
_STREAMS = 'sensor_msgs/msg/'
# Ground truth belongs to the pictures and has their calibration.
_GROUND_TRUTH = '/ground_truth/'
MAX_SKEW_NS = 3_600_000_000_000
GAP_FACTOR = 3
# The usual distance is a guess before there are this many.
_FEWEST_DISTANCES = 4
_LATEST_NS = (1 << 63) - 1

Size = tuple[int, int]


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        messages: that were read.
        findings: in the order of the table KINDS.
        damages: of the storage, with what was salvaged.
    """

    path: Path
    messages: int
    findings: tuple[Finding, ...]
    damages: tuple[Damage, ...]


def check_bag(path: Path, topics: Collection[str] | None = None, rectified: Rectified = 'auto') -> CheckReport:
    """Check every message of these topics (default: all) and the calibration of the pictures among them.

    `rectified` is as the node's parameter.

    Raises:
        BagError: not one message can be read, or a topic is not there.
    """
    with BagReader(path, salvage=True) as reader:
        findings = Findings()
        _check_topics(reader, findings, reader.topics() if topics is None else topics)
        count = _MessageCheck(reader, findings, rectified).run(topics)
        # Last, since some damage is only met while reading.
        _check_storage(reader, findings)
        return CheckReport(path, count, tuple(findings), reader.damages)


def _check_storage(reader: BagReader, findings: Findings) -> None:
    for damage in reader.damages:
        findings.add(damage.kind, damage.topic, Place(detail=str(damage)))
    if not any(entry.message_count for entry in reader.topics().values()):
        findings.add('empty-bag', '', Place(detail=f'{len(reader.topics())} topics, no message'))


def _check_topics(reader: BagReader, findings: Findings, topics: Collection[str]) -> None:
    present = reader.topics()
    for entry in present.values():
        if entry.name not in topics:
            continue
        if not entry.message_count:
            findings.add('empty-topic', entry.name, Place(detail=entry.msgtype))
        elif not reader.knows(entry.msgtype):
            findings.add('unknown-type', entry.name, Place(detail=entry.msgtype))
        if not _is_of_a_camera(entry.name, entry.msgtype):
            continue
        if entry.latched:
            findings.add('latched-image', entry.name, Place(detail='durability is transient local'))
        beside = camera_info_beside(entry.name)
        if beside not in present:
            findings.add('no-camera-info', entry.name, Place(detail=f'there is no {beside}'))


def _is_of_a_camera(name: str, msgtype: str) -> bool:
    return msgtype in PICTURE_TYPES and not name.startswith(_GROUND_TRUTH)


class _MessageCheck:
    """One pass over the messages.

    Pictures, calibrations and labels are collected with their stamps and compared at the end: which of them is recorded
    first, nobody promises.
    """

    def __init__(self, reader: BagReader, findings: Findings, rectified: Rectified) -> None:
        self._reader, self._findings, self._rectified = reader, findings, rectified
        self._counts: Counter[str] = Counter()
        self._stamps: dict[str, StampCheck] = {}
        self._pictures: dict[str, PictureCheck] = {}
        self._infos: dict[str, list[tuple[int, Size, str]]] = {}
        self._calibrated: dict[str, list[tuple[int, Size, str, Place]]] = {}
        self._doubts: dict[str, str] = {}
        self._depths: set[str] = set()
        self._picture_stamps: set[int] = set()
        self._labels: list[tuple[str, int, Place]] = []
        self._start_ns = reader.start_ns
        self._beside: dict[str, list[str]] = {}
        for entry in reader.topics().values():
            if _is_of_a_camera(entry.name, entry.msgtype):
                self._beside.setdefault(camera_info_beside(entry.name), []).append(entry.name)

    def run(self, topics: Collection[str] | None) -> int:
        """Check all, and return how many there were."""
        wanted = self._with_calibrations(topics)
        for raw in self._reader.raw_messages(wanted):
            if self._reader.knows(raw.msgtype):
                self._add(raw, self._counts[raw.topic])
            self._counts[raw.topic] += 1
        for check in self._stamps.values():
            check.judge(self._findings, self._start_ns)
        self._judge_calibrations()
        if self._has_pictures(topics):
            self._judge_labels()
        return self._counts.total()

    def _has_pictures(self, topics: Collection[str] | None) -> bool:
        """Whether all pictures were read: labels alone are not to blame for those that nobody asked for."""
        present = self._reader.topics()
        return topics is None or {name for name in present if _is_of_a_camera(name, present[name].msgtype)} <= set(
            topics
        )

    def _with_calibrations(self, topics: Collection[str] | None) -> list[str] | None:
        if topics is None:
            return None
        present = self._reader.topics()
        beside = {camera_info_beside(name) for name in topics if name in present}
        return list(dict.fromkeys([*topics, *(name for name in beside if name in present)]))

    def _add(self, raw: RawMessage, number: int) -> None:
        place = Place(number, (raw.recorded_ns - self._start_ns) / NANOSECONDS)
        try:
            message = self._reader.decode(raw)
        except BagError as error:
            kind = 'damaged-message' if self._reader.is_damaged(raw) else 'other-definition'
            self._findings.add(kind, raw.topic, place._replace(detail=str(error)))
            return
        if not raw.msgtype.startswith(_STREAMS) or not hasattr(message, 'header'):
            return
        stamp = stamp_ns(message)
        self._stamps.setdefault(raw.topic, StampCheck(raw.topic)).add(number, stamp, raw.recorded_ns)
        if raw.msgtype == CAMERA_INFO_TYPE:
            self._add_info(raw.topic, stamp, message, place)
        elif raw.msgtype in PICTURE_TYPES:
            if _is_of_a_camera(raw.topic, raw.msgtype):
                # Also one that does not decode: that is a finding of its own.
                self._picture_stamps.add(stamp)
            elif raw.topic in LABEL_TOPICS:
                self._labels.append((raw.topic, stamp, place))
            check = self._pictures.setdefault(raw.topic, PictureCheck(raw.topic, raw.msgtype, self._findings))
            form = check.add(message, place)
            if form is not None:
                if is_depth(message):
                    self._depths.add(raw.topic)
                self._calibrated.setdefault(raw.topic, []).append(
                    (stamp, (form.width, form.height), frame_of(message.header), place)
                )

    def _add_info(self, topic: str, stamp: int, info: Any, place: Place) -> None:
        """A CameraInfo; one without a size says nothing about those of pictures."""
        if problem := CameraModel.of(info, '', self._rectified).problem:
            self._findings.add('zero-k', topic, place._replace(detail=problem))
        for name in self._beside.get(topic, ()):
            if doubt := CameraModel.of(info, name, self._rectified).doubt:
                self._doubts.setdefault(name, doubt)
        size = picture_size(info)
        if all(size):
            self._infos.setdefault(topic, []).append((stamp, size, frame_of(info.header)))
        else:
            self._findings.add('empty-camera-info', topic, place._replace(detail=f'{size[0]}×{size[1]} pixels'))

    def _judge_calibrations(self) -> None:
        """Report pictures whose nearest calibration is for another size or camera, or leaves its matrix open."""
        for topic, doubt in self._doubts.items():
            if topic in self._calibrated.keys() - self._depths:
                self._findings.add('k-or-p', topic, Place(detail=doubt))
        for topic, pictures in self._calibrated.items():
            known = sorted(self._infos.get(camera_info_beside(topic), []))
            frames = {frame for _, _, frame in known}
            for at_ns, size, frame, place in pictures if known else []:
                if frame not in frames:
                    detail = f"frame '{frame}', camera_info is of '{', '.join(sorted(frames))}'"
                    self._findings.add('camera-info-frame', topic, place._replace(detail=detail))
                    continue
                own = known if len(frames) == 1 else [entry for entry in known if entry[2] == frame]
                after = bisect_left(own, at_ns, key=lambda entry: entry[0])
                expected = min(own[max(0, after - 1) : after + 1], key=lambda entry: abs(entry[0] - at_ns))[1]
                if expected != size:
                    detail = '{}×{} pixels, camera_info is for {}×{}'.format(*size, *expected)
                    self._findings.add('camera-info-size', topic, place._replace(detail=detail))

    def _judge_labels(self) -> None:
        """Report labels without a picture of their stamp."""
        for topic, stamp, place in self._labels:
            if stamp not in self._picture_stamps:
                detail = f'no picture has the stamp {stamp} ns'
                self._findings.add('orphan-labels', topic, place._replace(detail=detail))


class StampCheck:
    """Collects the stamps of one topic, 24 bytes per message, and judges them at the end."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._rows = array('q')

    def add(self, number: int, stamp_ns: int, recorded_ns: int) -> None:
        """Message ``number`` of the topic."""
        # A damaged bag may say anything; no clock goes beyond the year 2262.
        self._rows.extend((number, stamp_ns, min(recorded_ns, _LATEST_NS)))

    def judge(self, findings: Findings, start_ns: int) -> None:
        """Report what is wrong; seconds count from ``start_ns``."""
        rows = np.frombuffer(self._rows, dtype=np.int64).reshape(-1, 3)

        def report(kind: str, row: NDArray[np.int64], detail: str) -> None:
            findings.add(kind, self._topic, Place(int(row[0]), (int(row[2]) - start_ns) / 1e9, detail))

        for row in rows[rows[:, 1] == 0]:
            report('zero-stamps', row, 'the stamp is 0')
        rows = rows[rows[:, 1] != 0]
        if not len(rows):
            return
        skew = rows[:, 1] - rows[:, 2]
        for row in rows[np.abs(skew) > MAX_SKEW_NS]:
            report('stamp-skew', row, f'the stamp is {(row[1] - row[2]) / 1e9:+.0f} s from the recording')
        # A stamp from another clock says nothing about the order of the others; a clock that is wrong throughout does.
        rows = rows[np.abs(skew - np.median(skew)) <= MAX_SKEW_NS]
        steps = np.diff(rows[:, 1])
        for row, step in zip(rows[1:][steps < 0], steps[steps < 0], strict=True):
            report('stamps-back', row, f'{-step / 1e9:.3f} s before the one before')
        ordered = rows[np.argsort(rows[:, 1], kind='stable')]
        steps = np.diff(ordered[:, 1])
        for row in ordered[1:][steps == 0]:
            report('duplicate-stamps', row, f'the stamp {row[1]} ns was there before')
        distances = steps[steps > 0]
        if len(distances) < _FEWEST_DISTANCES:
            return
        usual = float(np.median(distances))
        for row, step in zip(ordered[1:], steps, strict=True):
            if step > GAP_FACTOR * usual:
                report('gap', row, f'{step / 1e9:.3f} s without a message, usual are {usual / 1e9:.3f} s')
