# SPDX-License-Identifier: Apache-2.0
"""COCO's mask AP on id maps, against values that can be worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.instances import InstanceMetrics, InstanceScores

PERSON, CAR = 0, 3
CATEGORIES = {PERSON: 'person', CAR: 'car'}
Box = tuple[int, int, int, int]


def ids(*boxes: Box, size: tuple[int, int] = (200, 200)) -> Any:
    """A map with one id per box (y0, y1, x0, x1); later boxes paint over earlier ones."""
    painted = np.zeros(size, np.uint16)
    for number, (y0, y1, x0, x1) in enumerate(boxes, start=1):
        painted[y0:y1, x0:x1] = number
    return painted


def frame(
    answers: list[tuple[Box, int, float]], truth: list[tuple[Box, int]], crowd: list[bool] | None = None
) -> InstanceFrame:
    return InstanceFrame(
        instance_ids=ids(*(box for box, _, _ in answers)),
        labels=np.array([label for _, label, _ in answers], np.int64),
        scores=np.array([score for _, _, score in answers], np.float32),
        true_instance_ids=ids(*(box for box, _ in truth)),
        true_labels=np.array([label for _, label in truth], np.int64),
        **({} if crowd is None else {'true_is_crowd': np.array(crowd)}),
    )


def measure(*frames: InstanceFrame, categories: dict[int, str] | None = None) -> InstanceScores:
    metrics = InstanceMetrics(categories or CATEGORIES)
    for one in frames:
        metrics.update(one)
    return metrics.compute()


A: Box = (0, 40, 0, 40)
B: Box = (100, 140, 100, 140)
# 0.7 of A's pixels, so an IoU of 0.7 with it.
MOST_OF_A: Box = (0, 40, 0, 28)


def test_exact_masks_are_perfect() -> None:
    scores = measure(frame([(A, CAR, 0.9), (B, PERSON, 0.8)], [(A, CAR), (B, PERSON)]))
    assert (scores.ap, scores.ap50, scores.ap75, scores.ap_medium, scores.ar100) == (1, 1, 1, 1, 1)
    assert (scores.ap_small, scores.ap_large) == (None, None)
    assert (scores.frames, scores.true_count, scores.predicted_count) == (1, 2, 2)


def test_an_overlap_of_seven_tenths_counts_up_to_seven_tenths() -> None:
    """Found at the five thresholds 0.50 to 0.70, missed at the five above."""
    scores = measure(frame([(MOST_OF_A, CAR, 0.9)], [(A, CAR)]))
    assert (scores.ap50, scores.ap75) == (1.0, 0.0)
    assert scores.ap == pytest.approx(0.5)
    assert scores.ar100 == pytest.approx(0.5)


def test_one_of_two_found_is_half_of_the_curve() -> None:
    """Precision is 1 at the recall steps 0, 0.01 .. 0.50: 51 of 101."""
    scores = measure(frame([(A, CAR, 0.9)], [(A, CAR), (B, CAR)]))
    assert scores.ap == pytest.approx(51 / 101)


def test_a_false_alarm_costs_by_its_score() -> None:
    above = measure(frame([(A, CAR, 0.5), (B, CAR, 0.9)], [(A, CAR)]))
    below = measure(frame([(A, CAR, 0.9), (B, CAR, 0.5)], [(A, CAR)]))
    assert (above.ap, below.ap) == (pytest.approx(0.5), pytest.approx(1.0))


def test_the_right_mask_of_the_wrong_class_is_missed_and_false() -> None:
    scores = measure(frame([(A, PERSON, 0.9)], [(A, CAR)]))
    assert scores.ap == 0.0
    assert scores.per_class['person'].ap is None
    assert scores.per_class['car'].ap == 0.0


def test_classes_without_ground_truth_do_not_lower_the_mean() -> None:
    scores = measure(frame([(A, CAR, 0.9)], [(A, CAR)]))
    assert scores.ap == 1.0
    assert (scores.per_class['car'].true_count, scores.per_class['person'].true_count) == (1, 0)


def test_the_mean_is_over_classes() -> None:
    scores = measure(frame([(A, CAR, 0.9)], [(A, CAR), (B, PERSON)]))
    assert scores.ap == pytest.approx(0.5)
    assert (scores.per_class['car'].ap, scores.per_class['person'].ap50) == (1.0, 0.0)


def test_a_crowd_is_neither_missed_nor_a_false_alarm() -> None:
    scores = measure(frame([(A, CAR, 0.8), (B, CAR, 0.9)], [(A, CAR), (B, CAR)], crowd=[False, True]))
    assert scores.ap == 1.0
    assert scores.true_count == 1


def test_answers_are_ranked_across_pictures() -> None:
    scores = measure(frame([(A, CAR, 0.6)], [(A, CAR)]), frame([(B, CAR, 0.9)], []))
    assert scores.ap == pytest.approx(0.5)
    assert scores.frames == 2


def test_areas_decide_the_size_class_by_pixels_of_the_mask_not_of_its_box() -> None:
    diagonal = np.zeros((200, 200), np.uint16)
    np.fill_diagonal(diagonal, 1)
    labels, score = np.array([CAR]), np.array([0.9])
    scores = measure(InstanceFrame(diagonal, labels, score, diagonal, labels))
    assert (scores.ap_small, scores.ap_large) == (1.0, None)


def test_other_labels_and_rows_without_a_pixel_are_left_out() -> None:
    hidden: Box = (0, 10, 0, 10)
    scores = measure(frame([(hidden, CAR, 0.99), (A, CAR, 0.9), (B, 77, 0.9)], [(hidden, CAR), (A, CAR), (B, 99)]))
    assert scores.ap == 1.0
    assert (scores.true_count, scores.predicted_count) == (1, 1)


def test_nothing_answered_is_zero_and_nothing_to_find_is_undefined() -> None:
    assert measure(frame([], [(A, CAR)])).ap == 0.0
    for nothing in (frame([], []), frame([(A, CAR, 0.9)], [])):
        scores = measure(nothing)
        assert (scores.ap, scores.ap50, scores.ap_small, scores.ar100) == (None, None, None, None)
        assert json.loads(json.dumps(scores.as_dict()))['per_class']['car']['ap'] is None


def test_computing_twice_and_going_on_is_allowed() -> None:
    metrics = InstanceMetrics(CATEGORIES)
    metrics.update(frame([(A, CAR, 0.9)], [(A, CAR)]))
    assert metrics.compute() == metrics.compute()
    metrics.update(frame([], [(B, CAR)]))
    assert metrics.compute().ap == pytest.approx(51 / 101)


def test_what_cannot_be_compared_is_refused() -> None:
    empty, none = ids(), np.zeros(0, np.int64)
    with pytest.raises(MetricError, match='no picture'):
        InstanceMetrics(CATEGORIES).compute()
    with pytest.raises(MetricError, match='no category'):
        InstanceMetrics({})
    with pytest.raises(MetricError, match='of one size'):
        InstanceFrame(empty, none, np.zeros(0), ids(size=(3, 3)), none)
    with pytest.raises(MetricError, match='of one size'):
        InstanceFrame(np.zeros((0, 4), int), none, np.zeros(0), np.zeros((0, 4), int), none)
    with pytest.raises(MetricError, match='must be integers'):
        InstanceFrame(empty.astype(float), none, np.zeros(0), empty, none)
    with pytest.raises(MetricError, match=r'predicted instance ids must lie in 0\.\.0 .* are 0\.\.1'):
        InstanceFrame(ids(A), none, np.zeros(0), empty, none)
    with pytest.raises(MetricError, match='true instance ids must lie'):
        InstanceFrame(empty, none, np.zeros(0), ids(A, B), np.array([CAR]))
    with pytest.raises(MetricError, match=r'labels .* and scores'):
        InstanceFrame(empty, np.array([CAR]), np.zeros(0), empty, none)
    with pytest.raises(MetricError, match='do not fit'):
        InstanceFrame(empty, none, np.zeros(0), empty, np.array([CAR]), np.array([True, False]))
    with pytest.raises(MetricError, match='scores must be finite'):
        InstanceFrame(ids(A), np.array([CAR]), np.array([np.nan]), empty, none)
