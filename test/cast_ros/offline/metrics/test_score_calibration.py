# SPDX-License-Identifier: Apache-2.0
"""Reliability of scores, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.instance_matches import FrameMatches
from cast_ros.offline.metrics.score_calibration import CalibrationMetrics, CalibrationScores

CAR, PERSON = 3, 0


def matches(scores: list[float], right: list[bool], crowd: bool = False, label: int = CAR) -> FrameMatches:
    """One box for each score; where it is right there is just that true instance."""
    ids = np.repeat(np.arange(1, len(scores) + 1), 4)[None, :] if scores else np.zeros((1, 4), int)
    true_ids = np.zeros_like(ids)
    for row, number in enumerate(np.flatnonzero(right)):
        true_ids[ids == number + 1] = row + 1
    count = sum(right)
    return FrameMatches.of(
        InstanceFrame(
            ids,
            np.full(len(scores), label),
            np.array(scores),
            true_ids,
            np.full(count, label),
            np.full(count, crowd),
        )
    )


def measure(*frames: FrameMatches, bins: int = 10) -> CalibrationScores:
    metrics = CalibrationMetrics((CAR, PERSON), bins)
    for frame in frames:
        metrics.update(frame)
    return metrics.compute()


def test_every_number_by_hand() -> None:
    """Bin 0.4-0.5 promises 0.45 and keeps 1/2; bin 0.8-0.9 promises 0.85 and keeps nothing."""
    scores = measure(matches([0.42, 0.48], [True, False]), matches([0.85], [False]))
    assert scores.expected_error == pytest.approx((2 * 0.05 + 1 * 0.85) / 3)
    assert scores.overconfidence == pytest.approx((0.42 + 0.48 + 0.85 - 1) / 3)
    assert (scores.count, scores.frames) == (3, 2)
    fourth = scores.bins[4]
    assert (fourth.low, fourth.high, fourth.count) == (0.4, 0.5, 2)
    assert (fourth.mean_score, fourth.precision) == (pytest.approx(0.45), 0.5)
    assert [one.count for one in scores.bins] == [0, 0, 0, 0, 2, 0, 0, 0, 1, 0]
    assert scores.bins[0].precision is None


def test_a_score_on_an_edge_belongs_to_the_bin_below() -> None:
    counts = [one.count for one in measure(matches([0.0, 0.5, 0.51, 1.0], [True] * 4), bins=2).bins]
    assert counts == [2, 2]


def test_honest_scores_have_no_error() -> None:
    scores = measure(matches([0.75] * 4, [True, True, True, False]))
    assert scores.expected_error == 0.0
    assert scores.overconfidence == 0.0


def test_answers_that_found_a_crowd_and_other_classes_do_not_count() -> None:
    assert measure(matches([0.9], [True], crowd=True)).count == 0
    assert measure(matches([0.9], [True], label=77)).count == 0


def test_a_second_answer_to_the_same_instance_is_wrong() -> None:
    """Both cover a half; the better score has it."""
    frame = InstanceFrame(
        np.array([[1, 1, 2, 2]]), np.full(2, CAR), np.array([0.7, 0.9]), np.ones((1, 4), int), np.array([CAR])
    )
    bins = measure(FrameMatches.of(frame)).bins
    assert (bins[6].precision, bins[8].precision) == (0.0, 1.0)


def test_without_an_instance_there_is_no_error() -> None:
    scores = measure(matches([], []))
    assert (scores.expected_error, scores.overconfidence, scores.count) == (None, None, 0)
    assert json.loads(json.dumps(scores.as_dict()))['bins'][3]['mean_score'] is None


@pytest.mark.parametrize('score', [1.5, -0.1])
def test_scores_that_are_no_probability_are_refused(score: float) -> None:
    with pytest.raises(MetricError, match=r'must lie in 0\.\.1'):
        measure(matches([score], [True]))


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(MetricError, match='no picture'):
        CalibrationMetrics((CAR,)).compute()
    with pytest.raises(MetricError, match='no category'):
        CalibrationMetrics(())
    with pytest.raises(MetricError, match='at least one bin'):
        CalibrationMetrics((CAR,), 0)
