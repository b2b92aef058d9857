# SPDX-License-Identifier: Apache-2.0
"""Errors of metric depth, as they are printed in the literature, with cap and scaling stated beside them.

Every number is the mean over the valid pixels of a picture, then the mean over the pictures.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cast_ros.metrics.errors import MetricError

MIN_DEPTH_M = 1e-3

DepthMap = npt.NDArray[np.floating[Any]]
Scaling = Literal['none', 'median']


@dataclass(frozen=True)
class DepthScores:
    """Errors of depth in metres; None when no picture had a valid pixel.

    With d = ln(predicted) - ln(true):

    Attributes:
        abs_rel: mean |error| / true.
        sq_rel: mean error squared / true, metres.
        rmse: root of the mean squared error, metres.
        rmse_log: root of the mean d squared.
        silog: 100 sqrt(mean(d^2) - mean(d)^2), as KITTI defines it.
        silog_half: sqrt(mean(d^2) - mean(d)^2 / 2), what SwinMTL and Depth Anything V2 print under the same name.
        delta1: part of the pixels where max(predicted/true, true/predicted) < 1.25.
        delta2: the same below 1.25 squared.
        delta3: the same below 1.25 cubed.
        coverage: part of the valid pixels that has an answer; the errors speak of this part alone.
        frames: pictures that had a valid pixel.
        cap_m: ground truth beyond is left out, answers beyond (or infinite) count as the cap.
        scaling: `none` is metric; `median` multiplies each picture by median(true) / median(predicted) first.
        scale_ratio_median: over the pictures, of that ratio, whether it was applied or not.
        scale_ratio_std: spread of the ratio between pictures.
    """

    abs_rel: float | None
    sq_rel: float | None
    rmse: float | None
    rmse_log: float | None
    silog: float | None
    silog_half: float | None
    delta1: float | None
    delta2: float | None
    delta3: float | None
    coverage: float | None
    frames: int
    cap_m: float
    scaling: Scaling
    scale_ratio_median: float | None
    scale_ratio_std: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


_ERRORS = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'silog', 'silog_half', 'delta1', 'delta2', 'delta3')


class DepthMetrics:
    """Collects the errors of single pictures."""

    def __init__(self, cap_m: float, scaling: Scaling = 'none') -> None:
        """Start without a picture.

        Args:
            cap_m: the farthest ground truth that counts.
            scaling: `none` or `median`.
        """
        if not (math.isfinite(cap_m) and cap_m > MIN_DEPTH_M):
            raise MetricError(f'the cap must be a positive number of metres, is {cap_m}')
        if scaling not in ('none', 'median'):
            raise MetricError(f'scaling must be "none" or "median", is {scaling!r}')
        self._cap_m = cap_m
        self._scaling: Scaling = scaling
        self._pictures = 0
        self._errors: list[dict[str, float]] = []
        self._coverage: list[float] = []
        self._ratios: list[float] = []

    def update(self, depth: DepthMap, true_depth: DepthMap) -> None:
        """Add one picture.

        Args:
            depth: (H, W) metres; +Inf counts as the cap, NaN and what is not positive as no answer.
            true_depth: (H, W) metres; only finite values from 1 mm to the cap count.

        Raises:
            MetricError: sizes differ.
        """
        if depth.shape != true_depth.shape or depth.ndim != 2:
            raise MetricError(f'maps of one picture must have one size, are {depth.shape} and {true_depth.shape}')
        self._pictures += 1
        valid = np.isfinite(true_depth) & (true_depth >= MIN_DEPTH_M) & (true_depth <= self._cap_m)
        if not valid.any():
            return
        truth, answer = true_depth[valid].astype(np.float64), depth[valid].astype(np.float64)
        answered = answer > 0
        self._coverage.append(float(answered.mean()))
        if answered.any():
            truth, answer = truth[answered], answer[answered]
            ratio = float(np.median(truth) / np.median(np.minimum(answer, self._cap_m)))
            self._ratios.append(ratio)
            if self._scaling == 'median':
                answer = answer * ratio
            self._errors.append(_errors(np.clip(answer, MIN_DEPTH_M, self._cap_m), truth))

    def compute(self) -> DepthScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._pictures:
            raise MetricError('no picture was compared, so there is no depth error')
        means: dict[str, float | None] = {
            name: float(np.mean([picture[name] for picture in self._errors])) if self._errors else None
            for name in _ERRORS
        }
        return DepthScores(
            **means,
            coverage=float(np.mean(self._coverage)) if self._coverage else None,
            frames=len(self._coverage),
            cap_m=self._cap_m,
            scaling=self._scaling,
            scale_ratio_median=float(np.median(self._ratios)) if self._ratios else None,
            scale_ratio_std=float(np.std(self._ratios)) if self._ratios else None,
        )


def _errors(answer: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]) -> dict[str, float]:
    error = answer - truth
    log_error = np.log(answer) - np.log(truth)
    mean_square, square_mean = float(np.mean(log_error**2)), float(np.mean(log_error)) ** 2
    factor = np.maximum(answer / truth, truth / answer)
    return {
        'abs_rel': float(np.mean(np.abs(error) / truth)),
        'sq_rel': float(np.mean(error**2 / truth)),
        'rmse': math.sqrt(float(np.mean(error**2))),
        'rmse_log': math.sqrt(mean_square),
        'silog': 100.0 * math.sqrt(max(mean_square - square_mean, 0.0)),
        'silog_half': math.sqrt(max(mean_square - 0.5 * square_mean, 0.0)),
        'delta1': float(np.mean(factor < 1.25)),
        'delta2': float(np.mean(factor < 1.25**2)),
        'delta3': float(np.mean(factor < 1.25**3)),
    }
