# SPDX-License-Identifier: Apache-2.0
"""How often a true instance gets another track number: the identity switches of MOTA.

Bernardin and Stiefelhagen (2008): a match of the picture before is kept as long as its overlap allows; a switch is
counted when an instance is matched with another number than the last time it was matched, however long ago.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.scores import Result

LEAST_OVERLAP = 0.5

Numbers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class IdSwitchScores(Result):
    """Counts over all pictures.

    Attributes:
        switches: matches with another number than at the last match of the same true instance.
        matches: true instances that were matched, summed over pictures.
        true_count: true instances that were visible, summed over pictures; crowds left out.
        true_tracks: different true instances.
        frames: pictures that were compared.
    """

    switches: int
    matches: int
    true_count: int
    true_tracks: int
    frames: int


class IdSwitches:
    """Feed it the pictures of one drive in their order."""

    def __init__(self, thing_ids: Collection[int]) -> None:
        """Start without a picture.

        Args:
            thing_ids: class ids that are evaluated.
        """
        if not thing_ids:
            raise MetricError('no category to evaluate; name the classes that can be counted')
        self._thing_ids = list(thing_ids)
        self._last: dict[int, int] = {}
        self._seen: set[int] = set()
        self._switches = self._matches = self._true_count = self._frames = 0

    def update(self, frame: InstanceFrame, numbers: Numbers, true_numbers: Numbers) -> None:
        """Add the next picture.

        Args:
            frame: instances.
            numbers: (K,) track number of each predicted row; 0 for a row without a track, which matches nothing.
            true_numbers: (T,) number of each true row, the same in all pictures.

        Raises:
            MetricError: the numbers do not fit the rows, or one stands twice in a picture.
        """
        _check('predicted', numbers[numbers != 0], numbers.shape, frame.labels.shape)
        _check('true', true_numbers, true_numbers.shape, frame.true_labels.shape)
        shared = frame.overlaps()
        area, true_area = shared.sum(axis=0)[1:], shared.sum(axis=1)[1:]
        both = shared[1:, 1:]
        union = true_area[:, None] + area[None, :] - both
        overlap = np.divide(both, union, out=np.zeros(both.shape), where=union > 0)
        matchable = (frame.true_labels[:, None] == frame.labels[None, :]) & (numbers != 0)[None, :]
        reached = matchable & (overlap >= LEAST_OVERLAP)
        counted = np.isin(frame.true_labels, self._thing_ids) & (true_area > 0) & ~frame.true_is_crowd.astype(bool)
        for row in np.flatnonzero(counted):
            self._true_count += 1
            self._seen.add(int(true_numbers[row]))
            candidates = {int(numbers[column]): float(overlap[row, column]) for column in np.flatnonzero(reached[row])}
            if candidates:
                self._match(int(true_numbers[row]), candidates)
        self._frames += 1

    def compute(self) -> IdSwitchScores:
        """The counts over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there are no identity switches')
        return IdSwitchScores(self._switches, self._matches, self._true_count, len(self._seen), self._frames)

    def _match(self, true_number: int, candidates: dict[int, float]) -> None:
        """Masks of one side do not overlap, so two candidates can only reach exactly a half: the old one is kept."""
        last = self._last.get(true_number)
        number = last if last in candidates else max(candidates, key=lambda one: candidates[one])
        assert number is not None
        self._matches += 1
        self._switches += last is not None and number != last
        self._last[true_number] = number


def _check(whose: str, numbers: Numbers, shape: tuple[int, ...], rows: tuple[int, ...]) -> None:
    if shape != rows or numbers.dtype.kind not in 'iu':
        raise MetricError(f'{whose} numbers must be one integer a row, {rows}, are {numbers.dtype} of shape {shape}')
    if len(np.unique(numbers)) != len(numbers):
        raise MetricError(f'{whose} numbers of one picture must differ, are {numbers.tolist()}')
