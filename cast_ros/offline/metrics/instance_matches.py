# SPDX-License-Identifier: Apache-2.0
"""COCO's matches of single pictures, from which the AP of any subset or multiset of them follows without a new match.

A match never depends on other pictures; only the ranking does. So pictures are matched once, and a bootstrap over
them sorts and sums. The numbers are those of `cast_ros.offline.metrics.instances`, which the tests compare to 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.instances import MAX_DETECTIONS, ClassPrecision
from cast_ros.offline.metrics.scores import FloatArray, mean_known

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)

Counts = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FrameMatches:
    """How the instances of one picture were matched, at the ten overlaps of COCO.

    Attributes:
        labels: (K,) int64, class ids of the predicted rows that own a pixel; of each class the best 100, best first.
        scores: (K,) float64.
        is_true: (10, K) bool, found a true instance.
        is_ignored: (10, K) bool, found a crowd: neither right nor wrong.
        true_counts: true instances to find by class id; crowds and rows without a pixel are left out.
    """

    labels: npt.NDArray[np.int64]
    scores: FloatArray
    is_true: BoolArray
    is_ignored: BoolArray
    true_counts: dict[int, int]

    @classmethod
    def of(cls, frame: InstanceFrame) -> FrameMatches:
        """Match one picture, class by class, greedily by score."""
        shared = frame.overlaps()
        true_area, area = shared.sum(axis=1)[1:], shared.sum(axis=0)[1:]
        order = np.argsort(-frame.scores.astype(np.float64), kind='stable')
        order = order[area[order] > 0]
        kept, is_true, is_ignored = [], [], []
        for class_id in np.unique(frame.labels[order]):
            answers = order[frame.labels[order] == class_id][:MAX_DETECTIONS]
            truth = np.flatnonzero((frame.true_labels == class_id) & (true_area > 0))
            is_crowd = frame.true_is_crowd[truth].astype(bool)
            intersection = shared[1:, 1:][np.ix_(truth, answers)].astype(np.float64)
            # All of an answer may lie in a crowd, which says nothing about the rest of the crowd.
            outside = np.where(is_crowd[:, None], 0.0, true_area[truth][:, None] - intersection)
            right, ignored = _greedy(intersection / (area[answers][None, :] + outside), is_crowd)
            kept.append(answers)
            is_true.append(right)
            is_ignored.append(ignored)
        rows = np.concatenate(kept) if kept else np.zeros(0, np.intp)
        counted = frame.true_labels[(true_area > 0) & ~frame.true_is_crowd.astype(bool)]
        class_ids, counts = np.unique(counted, return_counts=True)
        return cls(
            labels=frame.labels[rows].astype(np.int64),
            scores=frame.scores[rows].astype(np.float64),
            is_true=np.concatenate([np.zeros((len(OVERLAPS), 0), bool), *is_true], axis=1),
            is_ignored=np.concatenate([np.zeros((len(OVERLAPS), 0), bool), *is_ignored], axis=1),
            true_counts={int(key): int(value) for key, value in zip(class_ids, counts, strict=True)},
        )


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """The curve of one class at IoU 0.5, one point for each score from the highest on.

    Attributes:
        precision: (P,) of all answers with at least that score.
        recall: (P,)
        scores: (P,) falling.
    """

    precision: FloatArray
    recall: FloatArray
    scores: FloatArray


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The answers of one class in all pictures, best first."""

    frames: npt.NDArray[np.intp]
    """(D,) index of the picture."""
    scores: FloatArray
    is_true: npt.NDArray[np.int64]
    """(10, D)"""
    is_false: npt.NDArray[np.int64]
    """(10, D)"""
    true_counts: npt.NDArray[np.int64]
    """(F,) instances to find in each picture."""


class MatchedFrames:
    """Matched pictures, ranked once. All methods take how often each picture counts.

    `counts` is (F,) integer, once each by default; 0 leaves a picture out. Equal scores rank in the order of the
    pictures, and the copies of one answer together.
    """

    def __init__(self, frames: Sequence[FrameMatches], categories: Mapping[int, str]) -> None:
        """Rank the answers.

        Args:
            frames: in the order of recording.
            categories: class ids that are evaluated, and their names.

        Raises:
            MetricError: there is no picture or no category.
        """
        if not frames:
            raise MetricError('no picture was compared, so there is no AP')
        if not categories:
            raise MetricError('no category to evaluate; name the classes that can be counted')
        self._frames = len(frames)
        self._classes = {categories[class_id]: _rank(frames, class_id) for class_id in sorted(categories)}

    def __len__(self) -> int:
        return self._frames

    def ap(self, counts: Counts | None = None) -> float | None:
        """Mean over IoU 0.50:0.05:0.95 and the classes that have ground truth; None if none has."""
        return mean_known(self._table(counts, slice(None)))

    def ap50(self, counts: Counts | None = None) -> float | None:
        """The same at IoU 0.50."""
        return mean_known(self._table(counts, slice(1)))

    def per_class(self, counts: Counts | None = None) -> dict[str, ClassPrecision]:
        """AP by class name."""
        times = self._times(counts)
        scores = {}
        for name, ranked in self._classes.items():
            row = _average_precision(ranked, times, slice(None))
            true_count = int(times @ ranked.true_counts)
            known = true_count > 0
            scores[name] = ClassPrecision(
                float(row.mean()) if known else None, float(row[0]) if known else None, true_count
            )
        return scores

    def curves(self, counts: Counts | None = None) -> dict[str, PrecisionRecall | None]:
        """Precision over recall at IoU 0.5 by class name, unsmoothed; None for a class without ground truth."""
        times = self._times(counts)
        return {name: _curve(ranked, times) for name, ranked in self._classes.items()}

    def _table(self, counts: Counts | None, overlaps: slice) -> FloatArray:
        times = self._times(counts)
        return np.array([_average_precision(ranked, times, overlaps) for ranked in self._classes.values()])

    def _times(self, counts: Counts | None) -> npt.NDArray[np.int64]:
        if counts is None:
            return np.ones(self._frames, np.int64)
        if counts.shape != (self._frames,) or counts.dtype.kind not in 'iu':
            raise MetricError(
                f'counts must be {self._frames} integers, one a picture, are {counts.dtype} of shape {counts.shape}'
            )
        if counts.min() < 0 or not counts.any():
            raise MetricError('counts must not be negative, and one picture must count')
        return counts.astype(np.int64)


def _greedy(overlap: FloatArray, is_crowd: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Which answers are right and which ignored, both (10, K); `overlap` is (T, K), answers best first."""
    right = np.zeros((len(OVERLAPS), overlap.shape[1]), bool)
    ignored = right.copy()
    for level, least in enumerate(OVERLAPS):
        free = ~is_crowd
        for column in np.flatnonzero(overlap.max(axis=0, initial=0.0) >= least):
            reached = overlap[:, column] >= least
            single = np.flatnonzero(reached & free)
            if single.size:
                # Of equals COCO takes the last.
                free[single[::-1][overlap[single[::-1], column].argmax()]] = False
                right[level, column] = True
            else:
                # A crowd is never used up.
                ignored[level, column] = bool((reached & is_crowd).any())
    return right, ignored


def _rank(frames: Sequence[FrameMatches], class_id: int) -> _Ranked:
    of_class = [frame.labels == class_id for frame in frames]
    scores = np.concatenate([frame.scores[rows] for frame, rows in zip(frames, of_class, strict=True)])
    order = np.argsort(-scores, kind='stable')
    places = np.concatenate([np.full(int(rows.sum()), index) for index, rows in enumerate(of_class)])
    is_true = np.concatenate([frame.is_true[:, rows] for frame, rows in zip(frames, of_class, strict=True)], axis=1)
    ignored = np.concatenate([frame.is_ignored[:, rows] for frame, rows in zip(frames, of_class, strict=True)], axis=1)
    return _Ranked(
        frames=places[order],
        scores=scores[order],
        is_true=is_true[:, order].astype(np.int64),
        is_false=(~is_true & ~ignored)[:, order].astype(np.int64),
        true_counts=np.array([frame.true_counts.get(class_id, 0) for frame in frames], np.int64),
    )


def _average_precision(ranked: _Ranked, times: npt.NDArray[np.int64], overlaps: slice) -> FloatArray:
    """AP at each of the overlaps, the mean of the smoothed precision at 101 recalls; NaN without ground truth."""
    total = int(times @ ranked.true_counts)
    weights = times[ranked.frames]
    found = np.cumsum(ranked.is_true[overlaps] * weights, axis=1)
    wrong = np.cumsum(ranked.is_false[overlaps] * weights, axis=1)
    if total == 0:
        return np.full(len(found), np.nan)
    # COCO's epsilon, so that the numbers are equal to the last digits.
    precision = found / (found + wrong + np.spacing(1))
    # One step of precision 0 behind the last answer: a recall that is never reached.
    smooth = np.pad(np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1], ((0, 0), (0, 1)))
    recall = found / total
    return np.array(
        [row[np.searchsorted(reached, RECALLS)].mean() for row, reached in zip(smooth, recall, strict=True)]
    )


def _curve(ranked: _Ranked, times: npt.NDArray[np.int64]) -> PrecisionRecall | None:
    total = int(times @ ranked.true_counts)
    if total == 0:
        return None
    weights = times[ranked.frames]
    found = np.cumsum(ranked.is_true[0] * weights)
    wrong = np.cumsum(ranked.is_false[0] * weights)
    # Answers of one score stand or fall together; where all was ignored so far there is no precision yet.
    last = np.append(ranked.scores[1:] != ranked.scores[:-1], True) if len(found) else np.zeros(0, bool)
    kept = last & (found + wrong > 0)
    return PrecisionRecall(found[kept] / (found + wrong)[kept], found[kept] / total, ranked.scores[kept])
