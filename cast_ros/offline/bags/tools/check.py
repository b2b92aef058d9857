# SPDX-License-Identifier: Apache-2.0
"""Reads a bag from end to end and says all that is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, Damage, RawMessage
from cast_ros.offline.bags.message_types import CAMERA_INFO_TYPE, PICTURE_TYPES, camera_info_beside
from cast_ros.offline.bags.messages import NANOSECONDS, stamp_ns
from cast_ros.offline.bags.tools.calibrations import CalibrationCheck
from cast_ros.offline.bags.tools.findings import Finding, Findings, Place
from cast_ros.offline.bags.tools.labels import LABEL_TOPICS, LabelCheck
from cast_ros.offline.bags.tools.pictures import PictureCheck
from cast_ros.offline.bags.tools.stamps import StampCheck

# Streams of sensors come at a rate; what others publish may come whenever they like.
_STREAMS = 'sensor_msgs/msg/'
# Ground truth belongs to the pictures and has their calibration.
_GROUND_TRUTH = '/ground_truth/'


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


def check_bag(path: Path, topics: Collection[str] | None = None) -> CheckReport:
    """Check every message of these topics (default: all) and the calibration of the pictures among them.

    Raises:
        BagError: not one message can be read, or a topic is not there.
    """
    with BagReader(path, salvage=True) as reader:
        findings = Findings()
        _check_topics(reader, findings, reader.topics() if topics is None else topics)
        count = _MessageCheck(reader, findings).run(topics)
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
    """One pass over the messages."""

    def __init__(self, reader: BagReader, findings: Findings) -> None:
        self._reader, self._findings = reader, findings
        self._counts: Counter[str] = Counter()
        self._stamps: dict[str, StampCheck] = {}
        self._pictures: dict[str, PictureCheck] = {}
        self._calibrations = CalibrationCheck(findings)
        self._labels = LabelCheck(findings)
        self._start_ns = reader.start_ns

    def run(self, topics: Collection[str] | None) -> int:
        """Check all, and return how many there were."""
        wanted = self._with_calibrations(topics)
        for raw in self._reader.raw_messages(wanted):
            if self._reader.knows(raw.msgtype):
                self._add(raw, self._counts[raw.topic])
            self._counts[raw.topic] += 1
        for check in self._stamps.values():
            check.judge(self._findings, self._start_ns)
        self._calibrations.judge()
        if self._has_pictures(topics):
            self._labels.judge()
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
        second = (raw.recorded_ns - self._start_ns) / NANOSECONDS
        try:
            message = self._reader.decode(raw)
        except BagError as error:
            kind = 'damaged-message' if self._reader.is_damaged(raw) else 'other-definition'
            self._findings.add(kind, raw.topic, Place(number, second, str(error)))
            return
        if not raw.msgtype.startswith(_STREAMS) or not hasattr(message, 'header'):
            return
        stamp = stamp_ns(message)
        self._stamps.setdefault(raw.topic, StampCheck(raw.topic)).add(number, stamp, raw.recorded_ns)
        if raw.msgtype == CAMERA_INFO_TYPE:
            self._calibrations.add_info(raw.topic, stamp, message, number, second)
        elif raw.msgtype in PICTURE_TYPES:
            if _is_of_a_camera(raw.topic, raw.msgtype):
                self._labels.add_picture(stamp)
            elif raw.topic in LABEL_TOPICS:
                self._labels.add_label(raw.topic, stamp, number, second)
            check = self._pictures.setdefault(raw.topic, PictureCheck(raw.topic, raw.msgtype, self._findings))
            form = check.add(message, number, second)
            if form is not None:
                self._calibrations.add_picture(raw.topic, stamp, (form.width, form.height), number, second)
