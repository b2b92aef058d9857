# SPDX-License-Identifier: Apache-2.0
"""Semantic IoU against cases that fit on a sheet of paper."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.semantic import SemanticMetrics

ROAD, SKY, CAR = range(3)
NAMES = ('road', 'sky', 'car')


def test_iou_by_hand() -> None:
    truth = np.array([[ROAD, ROAD, ROAD, ROAD], [SKY, SKY, 255, 255]])
    answer = np.array([[ROAD, ROAD, ROAD, SKY], [SKY, SKY, CAR, ROAD]])
    metrics = SemanticMetrics(NAMES)
    metrics.update(answer, truth)
    scores = metrics.compute()
    assert scores.per_class == {'road': 3 / 4, 'sky': 2 / 3, 'car': None}
    assert scores.miou == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert scores.pixel_accuracy == 5 / 6
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 1) / 2)
    np.testing.assert_array_equal(scores.confusion, [[3, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]])


def test_a_class_found_where_it_is_absent_counts_over_the_whole_data_set() -> None:
    """The mean of IoUs of single pictures would be 1 here for car in the first and leave the second out."""
    metrics = SemanticMetrics(NAMES)
    metrics.update(np.full((2, 2), CAR), np.full((2, 2), CAR))
    metrics.update(np.full((2, 2), CAR), np.full((2, 2), ROAD))
    scores = metrics.compute()
    assert scores.per_class == {'road': 0.0, 'sky': None, 'car': 0.5}
    assert scores.miou == 0.25
    assert scores.frames == 2


def test_an_answer_of_unlabelled_is_wrong_but_accuses_no_class() -> None:
    metrics = SemanticMetrics(NAMES)
    metrics.update(np.array([[255, ROAD]]), np.array([[ROAD, ROAD]]))
    scores = metrics.compute()
    assert scores.per_class['road'] == 0.5
    assert scores.confusion[ROAD].tolist() == [1, 0, 0, 1]


def test_ground_truth_without_a_label_has_no_iou() -> None:
    metrics = SemanticMetrics(NAMES)
    metrics.update(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8))
    scores = metrics.compute()
    assert (scores.miou, scores.pixel_accuracy, scores.mean_accuracy) == (None, None, None)


def test_can_be_written_as_json() -> None:
    metrics = SemanticMetrics(NAMES)
    metrics.update(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    document = json.loads(json.dumps(metrics.compute().as_dict()))
    assert document['miou'] == 1.0
    assert document['confusion'][0] == [4, 0, 0, 0]


def test_what_cannot_be_compared_is_refused() -> None:
    metrics = SemanticMetrics(NAMES)
    with pytest.raises(MetricError, match='no picture'):
        metrics.compute()
    with pytest.raises(MetricError, match=r'one size, are \(2, 2\) and \(2, 3\)'):
        metrics.update(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(MetricError, match='true class id 3 is neither'):
        metrics.update(np.zeros((1, 1), int), np.full((1, 1), 3))
    with pytest.raises(MetricError, match='predicted class id 7 is neither'):
        metrics.update(np.full((1, 1), 7), np.zeros((1, 1), int))
    with pytest.raises(MetricError, match='predicted class id -1 is neither'):
        metrics.update(np.full((1, 1), -1), np.zeros((1, 1), int))
    with pytest.raises(MetricError, match='no class'):
        SemanticMetrics(())
    with pytest.raises(MetricError, match='at most 255'):
        SemanticMetrics([str(number) for number in range(256)])
