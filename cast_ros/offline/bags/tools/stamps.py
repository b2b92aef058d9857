# SPDX-License-Identifier: Apache-2.0
"""Header stamps of one topic against each other and against the time of recording."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from cast_ros.offline.bags.tools.findings import Findings, Place

MAX_SKEW_NS = 3_600_000_000_000
GAP_FACTOR = 3
# The usual distance is a guess before there are this many.
_FEWEST_DISTANCES = 4
_LATEST_NS = (1 << 63) - 1


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
