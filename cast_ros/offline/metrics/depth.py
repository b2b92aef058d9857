# SPDX-License-Identifier: Apache-2.0
"""Errors of metric depth, as they are printed in the literature, with cap and scaling stated beside them.

Every number is the mean over the valid pixels of a picture, then the mean over the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.scores import Result

MIN_DEPTH_M = 1e-3

DepthMap = npt.NDArray[np.floating[Any]]
Scaling = Literal['none', 'median']


@dataclass(frozen=True)
class DepthScores(Result):
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


DEPTH_ERRORS = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'silog', 'silog_half', 'delta1', 'delta2', 'delta3')


@dataclass(frozen=True)
class FrameDepth:
    """The errors of one picture.

    Attributes:
        errors: by the names of `DEPTH_ERRORS`; None where no valid pixel has an answer.
        coverage: part of the valid pixels that has an answer; None without a valid pixel.
        scale_ratio: median(true) / median(predicted); None where no valid pixel has an answer.
    """

    errors: dict[str, float] | None
    coverage: float | None
    scale_ratio: float | None


@dataclass(frozen=True, eq=False)
class ComparedDepth:
    """The V valid pixels of one picture of which A have an answer.

    Attributes:
        valid: (H, W) bool, true depth from 1 mm to the cap.
        answered: (V,) bool.
        answer: (A,) float64 metres from 1 mm to the cap, scaled if that was asked for.
        truth: (A,) float64 metres.
        scale_ratio: median(true) / median(predicted); None without an answer.
    """

    valid: npt.NDArray[np.bool_]
    answered: npt.NDArray[np.bool_]
    answer: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]
    scale_ratio: float | None


class DepthMetrics:
    """Collects the errors of single pictures."""

    def __init__(self, cap_m: float, scaling: Scaling = 'none') -> None:
        """Start without a picture.

        Args:
            cap_m: the farthest ground truth that counts.
            scaling: `none` or `median`.
        """
        check_depth_options(cap_m, scaling)
        self._cap_m = cap_m
        self._scaling: Scaling = scaling
        self._frames: list[FrameDepth] = []

    def update(self, depth: DepthMap, true_depth: DepthMap) -> FrameDepth:
        """Add one picture, and return its own errors.

        Args:
            depth: (H, W) metres; +Inf counts as the cap, NaN and what is not positive as no answer.
            true_depth: (H, W) metres; only finite values from 1 mm to the cap count.

        Raises:
            MetricError: sizes differ.
        """
        self._frames.append(frame_depth(depth, true_depth, self._cap_m, self._scaling))
        return self._frames[-1]

    def compute(self) -> DepthScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there is no depth error')
        coverage = [frame.coverage for frame in self._frames if frame.coverage is not None]
        ratios = [frame.scale_ratio for frame in self._frames if frame.scale_ratio is not None]
        return DepthScores(
            **{name: mean_depth_error(self._frames, name=name) for name in DEPTH_ERRORS},
            coverage=float(np.mean(coverage)) if coverage else None,
            frames=len(coverage),
            cap_m=self._cap_m,
            scaling=self._scaling,
            scale_ratio_median=float(np.median(ratios)) if ratios else None,
            scale_ratio_std=float(np.std(ratios)) if ratios else None,
        )


def frame_depth(depth: DepthMap, true_depth: DepthMap, cap_m: float, scaling: Scaling = 'none') -> FrameDepth:
    """The errors of one picture; arguments as in `DepthMetrics`.

    Raises:
        MetricError: sizes differ, or the cap or the scaling is nonsense.
    """
    compared = compare_depth(depth, true_depth, cap_m, scaling)
    return FrameDepth(
        errors=_errors(compared.answer, compared.truth) if compared.answer.size else None,
        coverage=float(compared.answered.mean()) if compared.answered.size else None,
        scale_ratio=compared.scale_ratio,
    )


def mean_depth_error(
    frames: Sequence[FrameDepth], counts: npt.NDArray[np.integer[Any]] | None = None, name: str = 'abs_rel'
) -> float | None:
    """Mean of one error over a subset or multiset of pictures; None if none of them has it.

    Args:
        frames: from `frame_depth`.
        counts: (F,) how often each picture counts; once each by default.
        name: one of `DEPTH_ERRORS`.

    Raises:
        MetricError: there is no error of that name.
    """
    if name not in DEPTH_ERRORS:
        raise MetricError(f'there is no depth error {name!r}; there are {", ".join(DEPTH_ERRORS)}')
    values = np.array([np.nan if frame.errors is None else frame.errors[name] for frame in frames])
    times = np.ones(len(frames), np.int64) if counts is None else counts
    known = ~np.isnan(values) & (times > 0)
    return float(np.average(values[known], weights=times[known])) if known.any() else None


def compare_depth(depth: DepthMap, true_depth: DepthMap, cap_m: float, scaling: Scaling = 'none') -> ComparedDepth:
    """Which pixels of one picture are judged, and with what; arguments as in `DepthMetrics`.

    Raises:
        MetricError: sizes differ, or the cap or the scaling is nonsense.
    """
    check_depth_options(cap_m, scaling)
    if depth.shape != true_depth.shape or depth.ndim != 2:
        raise MetricError(f'maps of one picture must have one size, are {depth.shape} and {true_depth.shape}')
    valid = np.isfinite(true_depth) & (true_depth >= MIN_DEPTH_M) & (true_depth <= cap_m)
    truth, answer = true_depth[valid].astype(np.float64), depth[valid].astype(np.float64)
    answered = answer > 0
    truth, answer = truth[answered], answer[answered]
    if not answer.size:
        return ComparedDepth(valid, answered, answer, truth, None)
    ratio = float(np.median(truth) / np.median(np.minimum(answer, cap_m)))
    if scaling == 'median':
        answer = answer * ratio
    return ComparedDepth(valid, answered, np.clip(answer, MIN_DEPTH_M, cap_m), truth, ratio)


def check_depth_options(cap_m: float, scaling: Scaling) -> None:
    """Refuse what cannot be meant.

    Raises:
        MetricError: the cap is no positive number of metres, or there is no such scaling.
    """
    if not (math.isfinite(cap_m) and cap_m > MIN_DEPTH_M):
        raise MetricError(f'the cap must be a positive number of metres, is {cap_m}')
    if scaling not in ('none', 'median'):
        raise MetricError(f'scaling must be "none" or "median", is {scaling!r}')


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
