# SPDX-License-Identifier: Apache-2.0
"""Depth errors against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.depth import DepthMetrics, DepthScores


def measure(answer: list[float], truth: list[float], cap_m: float = 80.0, scaling: Any = 'none') -> DepthScores:
    metrics = DepthMetrics(cap_m, scaling)
    metrics.update(np.array([answer], np.float32), np.array([truth], np.float32))
    return metrics.compute()


def test_every_error_by_hand() -> None:
    scores = measure([12.0, 10.0, 40.0], [10.0, 20.0, 40.0])
    assert scores.abs_rel == pytest.approx((0.2 + 0.5 + 0.0) / 3)
    assert scores.sq_rel == pytest.approx((4 / 10 + 100 / 20) / 3)
    assert scores.rmse == pytest.approx(math.sqrt((4 + 100) / 3))
    logs = [math.log(1.2), math.log(0.5), 0.0]
    square, mean = sum(d * d for d in logs) / 3, sum(logs) / 3
    assert scores.rmse_log == pytest.approx(math.sqrt(square), rel=1e-5)
    assert scores.silog == pytest.approx(100 * math.sqrt(square - mean**2), rel=1e-5)
    assert scores.silog_half == pytest.approx(math.sqrt(square - 0.5 * mean**2), rel=1e-5)
    assert (scores.delta1, scores.delta2, scores.delta3) == (pytest.approx(2 / 3),) * 3
    assert (scores.coverage, scores.frames, scores.cap_m, scores.scaling) == (1.0, 1, 80.0, 'none')
    assert scores.scale_ratio_median == pytest.approx(20 / 12)


def test_deltas_are_strict_powers_of_one_and_a_quarter() -> None:
    scores = measure([12.4, 13.0, 17.0, 25.0], [10.0] * 4)
    assert (scores.delta1, scores.delta2, scores.delta3) == (0.25, 0.5, 0.75)
    assert measure([12.5], [10.0]).delta1 == 0.0


def test_the_mean_is_over_pictures_not_over_all_pixels() -> None:
    metrics = DepthMetrics(80.0)
    metrics.update(np.full((1, 99), 10.0), np.full((1, 99), 10.0))
    metrics.update(np.full((1, 1), 20.0), np.full((1, 1), 10.0))
    assert metrics.compute().abs_rel == pytest.approx(0.5)


def test_ground_truth_that_is_no_distance_is_left_out() -> None:
    scores = measure([1.0] * 6 + [11.0], [math.nan, math.inf, -1.0, 0.0, 81.0, 1e-4, 10.0])
    assert scores.abs_rel == pytest.approx(0.1)


def test_infinity_counts_as_the_cap_and_what_is_farther_too() -> None:
    assert measure([math.inf, 500.0], [40.0, 80.0]).abs_rel == pytest.approx(0.5)


def test_no_answer_lowers_the_coverage_and_not_the_error() -> None:
    scores = measure([math.nan, 0.0, -3.0, 10.0, -math.inf], [10.0] * 5)
    assert scores.coverage == pytest.approx(0.2)
    assert scores.abs_rel == 0.0


def test_median_scaling_removes_a_wrong_scale_and_reports_it() -> None:
    metrics = DepthMetrics(80.0, 'median')
    metrics.update(np.array([[5.0, 10.0, 20.0]]), np.array([[10.0, 20.0, 40.0]]))
    metrics.update(np.array([[40.0]]), np.array([[20.0]]))
    scores = metrics.compute()
    assert scores.abs_rel == pytest.approx(0.0)
    assert scores.scaling == 'median'
    assert scores.scale_ratio_median == pytest.approx(1.25)
    assert scores.scale_ratio_std == pytest.approx(0.75)


@pytest.mark.parametrize(('answer', 'truth', 'coverage'), [(10.0, math.nan, None), (math.nan, 10.0, 0.0)])
def test_without_a_pixel_to_compare_the_errors_are_none(answer: float, truth: float, coverage: float | None) -> None:
    scores = measure([answer], [truth])
    assert (scores.abs_rel, scores.rmse, scores.delta1, scores.scale_ratio_median) == (None, None, None, None)
    assert scores.coverage == coverage
    assert json.loads(json.dumps(scores.as_dict()))['abs_rel'] is None


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(MetricError, match='no picture'):
        DepthMetrics(80.0).compute()
    with pytest.raises(MetricError, match='one size'):
        DepthMetrics(80.0).update(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(MetricError, match='positive number of metres, is 0'):
        DepthMetrics(0)
    with pytest.raises(MetricError, match='positive number of metres, is nan'):
        DepthMetrics(math.nan)
    with pytest.raises(MetricError, match='scaling must be'):
        DepthMetrics(80.0, 'affine')  # type: ignore[arg-type]
