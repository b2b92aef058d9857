# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a bag against the stamps of its pictures."""

from __future__ import annotations

from typing import NamedTuple

from cast_ros.offline.bags.ground_truth_topics import DEPTH, INSTANCES
from cast_ros.offline.bags.tools.findings import Findings, Place

LABEL_TOPICS = (INSTANCES, DEPTH)


class _Label(NamedTuple):
    topic: str
    stamp_ns: int
    number: int
    second: float


class LabelCheck:
    """Collects stamps and compares them at the end: labels may be recorded before their picture, or long after it."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._stamps: set[int] = set()
        self._labels: list[_Label] = []

    def add_picture(self, stamp_ns: int) -> None:
        """A picture of any camera, also one that does not decode: that is a finding of its own."""
        self._stamps.add(stamp_ns)

    def add_label(self, topic: str, stamp_ns: int, number: int, second: float) -> None:
        """A message of ground truth."""
        self._labels.append(_Label(topic, stamp_ns, number, second))

    def judge(self) -> None:
        """Report labels without a picture of their stamp."""
        for label in self._labels:
            if label.stamp_ns not in self._stamps:
                detail = f'no picture has the stamp {label.stamp_ns} ns'
                self._findings.add('orphan-labels', label.topic, Place(label.number, label.second, detail))
