# SPDX-License-Identifier: Apache-2.0
"""Average precision as the Cityscapes benchmark defines it, in memory and for any classes.

Differs from COCO: a step-wise integral of the unsmoothed curve, a true instance is matched above (not at) the overlap,
true instances below 100 pixels are ignored, and a wrong answer is forgiven when enough of it lies on void, crowds or
such small instances. Checked against cityscapesScripts' evalInstanceLevelSemanticLabeling in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.scores import FloatArray, Result, mean_known

OVERLAPS = tuple(0.5 + 0.05 * step for step in range(10))
MIN_REGION_PX = 100


@dataclass(frozen=True)
class CityscapesScores(Result):
    """Cityscapes AP, fractions of 1; None without ground truth.

    Attributes:
        ap: mean over overlaps 0.50:0.05:0.95 and over the classes that have ground truth.
        ap50: at overlap 0.50.
        per_class: AP by class name.
        per_class_ap50: AP at overlap 0.50 by class name.
    """

    ap: float | None
    ap50: float | None
    per_class: dict[str, float | None]
    per_class_ap50: dict[str, float | None]


@dataclass(frozen=True, eq=False)
class _Matches:
    """One class in one picture, T true and K predicted rows."""

    overlap: FloatArray
    """(T, K) intersection over union."""
    counts: npt.NDArray[np.bool_]
    """(T,) true rows that must be found: no crowd and not small."""
    scores: FloatArray
    """(K,)"""
    ignored: FloatArray
    """(K,) part of each predicted row that lies where nothing is asked."""


class CityscapesInstanceMetrics:
    """Collects pictures, then computes Cityscapes AP once; rows of other labels or without a pixel are left out."""

    def __init__(self, categories: Mapping[int, str]) -> None:
        """Start without a picture.

        Args:
            categories: class ids that are evaluated, and their names.
        """
        if not categories:
            raise MetricError('no category to evaluate; name the classes that can be counted')
        self._categories = dict(categories)
        self._matches: dict[int, list[_Matches]] = {class_id: [] for class_id in categories}
        self._frames = 0

    def update(self, frame: InstanceFrame) -> None:
        """Add one picture."""
        self._frames += 1
        shared = frame.overlaps()
        on_void = np.zeros(len(frame.labels) + 1, dtype=np.int64)
        if frame.void is not None:
            on_void = np.bincount(frame.instance_ids[frame.void].ravel(), minlength=len(frame.labels) + 1)
        for class_id, matches in self._matches.items():
            truth = np.flatnonzero((frame.true_labels == class_id) & (shared[1:].sum(axis=1) > 0))
            answers = np.flatnonzero((frame.labels == class_id) & (shared[:, 1:].sum(axis=0) > 0))
            matches.append(_match(frame, shared, on_void[1:], truth, answers))

    def compute(self) -> CityscapesScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there is no AP')
        names = list(self._categories.values())
        table = np.array(
            [[_average_precision(matches, overlap) for overlap in OVERLAPS] for matches in self._matches.values()]
        )
        return CityscapesScores(
            ap=mean_known(table),
            ap50=mean_known(table[:, 0]),
            per_class=dict(zip(names, map(mean_known, table), strict=True)),
            per_class_ap50=dict(zip(names, map(mean_known, table[:, :1]), strict=True)),
        )


def _match(
    frame: InstanceFrame,
    shared: npt.NDArray[np.int64],
    on_void: npt.NDArray[np.int64],
    truth: npt.NDArray[np.intp],
    answers: npt.NDArray[np.intp],
) -> _Matches:
    """The rows `truth` and `answers` of one class, compared."""
    intersection = shared[1:, 1:][np.ix_(truth, answers)].astype(np.float64)
    true_area, area = shared[1:].sum(axis=1)[truth], shared[:, 1:].sum(axis=0)[answers]
    is_crowd = frame.true_is_crowd[truth].astype(bool)
    is_small = true_area < MIN_REGION_PX
    # A small crowd counts twice, as it does in the benchmark's own evaluator.
    forgiven = is_crowd.astype(np.float64) + is_small
    return _Matches(
        overlap=intersection / (true_area[:, None] + area[None, :] - intersection),
        counts=~is_crowd & ~is_small,
        scores=frame.scores[answers].astype(np.float64),
        ignored=(on_void[answers] + forgiven @ intersection) / area,
    )


def _average_precision(pictures: list[_Matches], overlap: float) -> float:
    """AP of one class at one overlap; NaN without ground truth."""
    true_scores: list[float] = []
    false_scores: list[float] = []
    missed = 0
    for picture in pictures:
        hits = picture.overlap > overlap
        for row in np.flatnonzero(picture.counts):
            found = np.sort(picture.scores[hits[row]])
            missed += found.size == 0
            true_scores.extend(found[-1:])
            false_scores.extend(found[:-1])
        is_false = ~hits.any(axis=0) & (picture.ignored <= overlap)
        false_scores.extend(picture.scores[is_false])
    if not true_scores and not missed:
        return float('nan')
    return _area_under_curve(np.array(true_scores), np.array(false_scores), missed)


def _area_under_curve(true_scores: FloatArray, false_scores: FloatArray, missed: int) -> float:
    """Each precision counts for half the way in recall from its neighbour above to its neighbour below."""
    if true_scores.size == 0:
        return 0.0
    thresholds = np.unique(np.concatenate([true_scores, false_scores]))
    found = (true_scores[None, :] >= thresholds[:, None]).sum(axis=1)
    wrong = (false_scores[None, :] >= thresholds[:, None]).sum(axis=1)
    precision = np.append(found / (found + wrong), 1.0)
    recall = np.append(found / (true_scores.size + missed), 0.0)
    neighbours = np.concatenate([recall[:1], recall, [0.0]])
    return float((precision * (neighbours[:-2] - neighbours[2:]) / 2).sum())
