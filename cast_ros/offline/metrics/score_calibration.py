# SPDX-License-Identifier: Apache-2.0
"""Whether scores are honest: of the instances with a score of 0.8, are 80 % right?

Right is what COCO counts as found at IoU 0.5: greedily by score within each class, answers that found a crowd left out.
Bins and expected calibration error as in Guo et al. (ICML 2017), over instances in place of pictures.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.instance_matches import FrameMatches
from cast_ros.offline.metrics.scores import Result

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """Instances with a score above `low` (the first bin: from 0) up to `high`.

    Attributes:
        low: edge of the bin.
        high: edge of the bin.
        count: instances.
        mean_score: what they promise; None without an instance.
        precision: part of them that is right; None without an instance.
    """

    low: float
    high: float
    count: int
    mean_score: float | None
    precision: float | None


@dataclass(frozen=True)
class CalibrationScores(Result):
    """Fractions of 1; None without a predicted instance.

    Attributes:
        expected_error: mean over the instances of |mean score - precision| of their bin.
        overconfidence: mean score - precision of all instances; negative scores promise too little.
        bins: of equal width over 0..1.
        count: predicted instances, those that found a crowd left out.
        frames: pictures that were compared.
    """

    expected_error: float | None
    overconfidence: float | None
    bins: tuple[ReliabilityBin, ...]
    count: int
    frames: int


class CalibrationMetrics:
    """Collects scores and whether they were right."""

    def __init__(self, thing_ids: Collection[int], bins: int = BINS) -> None:
        """Start without a picture.

        Args:
            thing_ids: class ids that are evaluated; other labels are left out.
            bins: how many, of equal width.
        """
        if not thing_ids:
            raise MetricError('no category to evaluate; name the classes that can be counted')
        if bins < 1:
            raise MetricError(f'at least one bin is needed, not {bins}')
        self._thing_ids = list(thing_ids)
        self._sums: npt.NDArray[np.float64] = np.zeros((bins, 3))
        self._frames = 0

    def update(self, matches: FrameMatches) -> None:
        """Add one picture.

        Raises:
            MetricError: a score is outside 0..1, so it promises nothing.
        """
        judged = ~matches.is_ignored[0] & np.isin(matches.labels, self._thing_ids)
        scores, is_true = matches.scores[judged], matches.is_true[0][judged]
        if scores.size and (scores.min() < 0 or scores.max() > 1):
            raise MetricError(f'scores must lie in 0..1 to be calibrated, are {scores.min():g}..{scores.max():g}')
        bins = len(self._sums)
        places = np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, None)
        for column, weights in enumerate((None, scores, is_true)):
            self._sums[:, column] += np.bincount(places, weights=weights, minlength=bins)
        self._frames += 1

    def compute(self) -> CalibrationScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there is no calibration')
        count, promised, right = self._sums.sum(axis=0)
        gaps = np.abs(self._sums[:, 1] - self._sums[:, 2])
        return CalibrationScores(
            expected_error=float(gaps.sum() / count) if count else None,
            overconfidence=float((promised - right) / count) if count else None,
            bins=tuple(_bin(place, row, len(self._sums)) for place, row in enumerate(self._sums)),
            count=int(count),
            frames=self._frames,
        )


def _bin(place: int, sums: npt.NDArray[np.float64], bins: int) -> ReliabilityBin:
    count, promised, right = sums.tolist()
    return ReliabilityBin(
        low=place / bins,
        high=(place + 1) / bins,
        count=int(count),
        mean_score=promised / count if count else None,
        precision=right / count if count else None,
    )
