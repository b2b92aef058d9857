# SPDX-License-Identifier: Apache-2.0
"""Boundary F-scores of straight edges, and of random maps against a search over all pairs of pixels."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.boundary import BoundaryMetrics, BoundaryScores

ROAD, SKY, CAR = range(3)
NAMES = ('road', 'sky', 'car')
# 30 x 40 pixels have a diagonal of 50: these are one and three pixels.
ONE_PX, THREE_PX = 0.02, 0.06


def edge(column: int, left: int = ROAD, right: int = SKY) -> Any:
    """30 x 40, one class up to the column and another from there on."""
    return np.where(np.arange(40) < column, left, right)[None, :].repeat(30, axis=0).astype(np.uint8)


def measure(*pairs: tuple[Any, Any], tolerance: float = THREE_PX) -> BoundaryScores:
    metrics = BoundaryMetrics(NAMES, tolerance)
    for semantic, true_semantic in pairs:
        metrics.update(semantic, true_semantic)
    return metrics.compute()


@pytest.mark.parametrize(('shift', 'score'), [(0, 1.0), (3, 1.0), (-3, 1.0), (4, 0.0), (-4, 0.0)])
def test_an_edge_within_the_tolerance_is_found(shift: int, score: float) -> None:
    scores = measure((edge(20 + shift), edge(20)))
    assert scores.per_class == {'road': score, 'sky': score, 'car': None}
    assert scores.mean_f == score


def test_precision_and_recall_by_hand_and_pooled() -> None:
    """Of the road: 60 answered, 30 near one of 30 true; then 30 true that nobody answered."""
    band = edge(20)
    band[:, 5:8] = SKY
    scores = measure((np.where(np.arange(40) < 5, SKY, band).astype(np.uint8), edge(20)), (edge(40), edge(20)))
    # The band begins at column 8 and ends at 19, two columns of thirty.
    precision, recall = 30 / 60, 30 / 60
    assert scores.per_class['road'] == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores.frames == 2


def test_small_areas_weigh_by_their_outline() -> None:
    """A car that is forgotten costs its class everything, and the road the part of its outline."""
    truth = edge(20)
    truth[5:9, 5:9] = CAR
    scores = measure((edge(20), truth), tolerance=ONE_PX)
    assert scores.per_class['car'] == 0.0
    assert scores.per_class['road'] == pytest.approx(2 * 30 / (30 + 30 + 16))
    assert scores.per_class['sky'] == 1.0


def test_the_edges_of_void_and_of_the_picture_are_no_boundary() -> None:
    truth = edge(20)
    truth[:, 18:22] = 255
    assert measure((edge(20), truth)).mean_f is None
    assert measure((edge(40), edge(40))).mean_f is None


def test_boundaries_that_lie_on_void_are_not_invented() -> None:
    truth = edge(20)
    truth[:10, :10] = 255
    answer = edge(20)
    answer[3:6, 3:6] = CAR
    assert measure((answer, truth)).per_class['road'] == 1.0


def test_unlabelled_in_the_answer_has_an_outline() -> None:
    answer = edge(20)
    answer[10:14, 4:8] = 255
    scores = measure((answer, edge(20)), tolerance=ONE_PX)
    assert scores.per_class['road'] == pytest.approx(2 * 30 / (30 + 16 + 30))


def searched(answer: Any, truth: Any, class_id: int, reach: float) -> float:
    """The definition without any image processing."""

    def outline(semantic: Any) -> list[tuple[int, int]]:
        found = []
        for y, x in np.ndindex(semantic.shape):
            if semantic[y, x] != class_id or truth[y, x] == 255:
                continue
            for other in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= other[0] < semantic.shape[0] and 0 <= other[1] < semantic.shape[1]
                if inside and truth[other] != 255 and semantic[other] != class_id:
                    found.append((y, x))
                    break
        return found

    ours, theirs = outline(answer), outline(truth)
    precision = sum(any(math.dist(a, b) <= reach for b in theirs) for a in ours) / len(ours)
    recall = sum(any(math.dist(a, b) <= reach for b in ours) for a in theirs) / len(theirs)
    return 2 * precision * recall / (precision + recall)


def test_random_maps_against_a_search_over_all_pairs() -> None:
    rng = np.random.default_rng(4)
    truth = rng.choice([ROAD, SKY, CAR, 255], (5, 8), p=[0.4, 0.3, 0.2, 0.1]).repeat(5, axis=0).repeat(5, axis=1)
    answer = np.where(rng.random(truth.shape) < 0.06, rng.choice([ROAD, SKY, CAR], truth.shape), np.roll(truth, 2, 1))
    scores = measure((answer, truth), tolerance=2.5 / math.hypot(25, 40))
    for class_id, name in enumerate(NAMES):
        assert scores.per_class[name] == pytest.approx(searched(answer, truth, class_id, 3)), name
    assert scores.mean_f is not None
    assert 0.2 < scores.mean_f < 0.98


def test_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(measure((edge(20), edge(20))).as_dict()))['tolerance'] == THREE_PX


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(MetricError, match='no picture'):
        BoundaryMetrics(NAMES).compute()
    with pytest.raises(MetricError, match='no class'):
        BoundaryMetrics(())
    for tolerance in (0.0, 1.0, math.nan):
        with pytest.raises(MetricError, match='part of the diagonal'):
            BoundaryMetrics(NAMES, tolerance)
    with pytest.raises(MetricError, match='one size'):
        measure((edge(20), edge(20)[:5]))
    with pytest.raises(MetricError, match='predicted class id 7'):
        measure((edge(20, 7), edge(20)))
    with pytest.raises(MetricError, match='true class id 9'):
        measure((edge(20), edge(20, 9)))
