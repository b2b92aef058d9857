# SPDX-License-Identifier: Apache-2.0
"""Depth errors of parts of a picture, by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.depth import DepthMetrics
from cast_ros.offline.metrics.depth_by import DepthByMetrics, DepthByScores, DepthPart

NAMES = ('road', 'person', 'car')
PERSON, CAR = 1, 2


def measure(answer: list[float], truth: list[float], scaling: Any = 'none', **instances: Any) -> DepthByScores:
    metrics = DepthByMetrics(NAMES, 80.0, scaling)
    metrics.update(np.array([answer], np.float32), np.array([truth], np.float32), **instances)
    return metrics.compute()


def test_bins_of_distance_by_hand() -> None:
    scores = measure([5, 6, 12, 15, 80], [4, 5, 10, 20, 40])
    nothing = DepthPart(None, None, 0)
    assert scores.by_distance == {
        '0-5 m': DepthPart(pytest.approx((1 / 4 + 1 / 5) / 2), pytest.approx(1.0), 2),
        '5-10 m': DepthPart(pytest.approx(0.2), pytest.approx(2.0), 1),
        '10-20 m': DepthPart(pytest.approx(0.25), pytest.approx(5.0), 1),
        '20-40 m': DepthPart(pytest.approx(1.0), pytest.approx(40.0), 1),
        '40-80 m': nothing,
    }
    assert scores.by_class == dict.fromkeys(NAMES, nothing)
    assert (scores.frames, scores.cap_m, scores.scaling) == (1, 80.0, 'none')


def test_pixels_are_pooled_over_pictures() -> None:
    metrics = DepthByMetrics(NAMES, 80.0)
    metrics.update(np.full((1, 99), 3.0), np.full((1, 99), 3.0))
    metrics.update(np.full((1, 1), 4.0), np.full((1, 1), 2.0))
    assert metrics.compute().by_distance['0-5 m'] == DepthPart(pytest.approx(0.01), pytest.approx(0.2), 100)


def test_classes_are_the_pixels_of_true_instances_without_crowds() -> None:
    scores = measure(
        [12, 10, 20, 20, 30, 1],
        [10, 10, 10, 20, 20, 1],
        true_instance_ids=np.array([[1, 1, 2, 3, 4, 0]]),
        true_labels=np.array([CAR, CAR, PERSON, CAR]),
        true_is_crowd=np.array([False, False, False, True]),
    )
    assert scores.by_class['car'] == DepthPart(pytest.approx((0.2 + 0 + 1) / 3), pytest.approx(math.sqrt(104 / 3)), 3)
    assert scores.by_class['person'] == DepthPart(0.0, 0.0, 1)
    assert scores.by_class['road'].pixels == 0


def test_what_is_no_distance_and_what_has_no_answer_does_not_count() -> None:
    scores = measure(
        [1, 1, 1, math.nan, 0, math.inf],
        [math.nan, math.inf, 90, 10, 10, 80],
        true_instance_ids=np.ones((1, 6), int),
        true_labels=np.array([CAR]),
    )
    assert {name: part.pixels for name, part in scores.by_distance.items() if part.pixels} == {'40-80 m': 1}
    assert scores.by_class['car'] == DepthPart(0.0, 0.0, 1)


def test_labels_that_are_no_class_are_left_out() -> None:
    ids = np.array([[1, 2]])
    scores = measure([1, 1], [1, 2], true_instance_ids=ids, true_labels=np.array([77, -3]))
    assert all(part.pixels == 0 for part in scores.by_class.values())


def test_median_scaling_is_of_the_whole_picture_and_is_reported() -> None:
    scores = measure([5, 10, 20], [10, 20, 40], 'median')
    assert scores.by_distance['20-40 m'].abs_rel == pytest.approx(0.0)
    assert scores.scale_ratio_median == pytest.approx(2.0)


def test_all_parts_of_one_picture_are_the_whole() -> None:
    rng = np.random.default_rng(0)
    answer, truth = rng.uniform(0.5, 100, (20, 30)), rng.uniform(0.5, 80, (20, 30))
    whole = DepthMetrics(80.0)
    whole.update(answer, truth)
    parts = DepthByMetrics(NAMES, 80.0)
    parts.update(answer, truth)
    by_distance = parts.compute().by_distance.values()
    assert sum(part.pixels for part in by_distance) == 600
    total = sum((part.abs_rel or 0) * part.pixels for part in by_distance) / 600
    assert total == pytest.approx(whole.compute().abs_rel)


def test_can_be_written_as_json() -> None:
    document = json.loads(json.dumps(measure([math.nan], [10]).as_dict()))
    assert document['by_distance']['5-10 m'] == {'abs_rel': None, 'rmse': None, 'pixels': 0}
    assert document['scale_ratio_median'] is None


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(MetricError, match='no picture'):
        DepthByMetrics(NAMES, 80.0).compute()
    with pytest.raises(MetricError, match='positive number of metres'):
        DepthByMetrics(NAMES, -1)
    for edges in ((0.0,), (5.0, 5.0), (-1.0, 5.0), (0.0, math.nan)):
        with pytest.raises(MetricError, match='must rise from 0'):
            DepthByMetrics(NAMES, 80.0, edges_m=edges)
    with pytest.raises(MetricError, match='one size'):
        measure([1, 2], [1])
    with pytest.raises(MetricError, match=r'one size, are \(1, 3\) and \(1, 1\)'):
        measure([1], [1], true_instance_ids=np.zeros((1, 3), int), true_labels=np.zeros(0, int))
    with pytest.raises(MetricError, match=r'must lie in 0\.\.1, are 2\.\.2'):
        measure([1], [1], true_instance_ids=np.array([[2]]), true_labels=np.array([CAR]))
    with pytest.raises(MetricError, match='crowd flags'):
        measure(
            [1],
            [1],
            true_instance_ids=np.array([[1]]),
            true_labels=np.array([CAR]),
            true_is_crowd=np.zeros(2, bool),
        )
