# SPDX-License-Identifier: Apache-2.0
"""Agreement of two answers, by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.agreement import AgreementMetrics, AgreementScores
from cast_ros.student import Prediction

ROAD, SKY, CAR = range(3)
NAMES = ('road', 'sky', 'car')


def answer(semantic: Any = None, ids: Any = None, labels: Any = (), depth: Any = None) -> Prediction:
    return Prediction(
        1,
        4,
        1,
        4,
        semantic=None if semantic is None else np.array([semantic], np.uint8),
        instance_ids=None if ids is None else np.array([ids], np.uint16),
        labels=None if ids is None else np.array(labels, np.int64),
        depth=None if depth is None else np.array([depth], np.float32),
    )


def measure(*pairs: tuple[Prediction, Prediction]) -> AgreementScores:
    metrics = AgreementMetrics(NAMES)
    for one, other in pairs:
        metrics.update(one, other)
    return metrics.compute()


def test_semantic_maps_by_hand_and_pooled_over_pictures() -> None:
    """Road: 2 common of 4 + 3; sky: 3 common of 4; a pixel that one side leaves open counts against the other."""
    pairs = (
        (answer([ROAD, ROAD, ROAD, SKY]), answer([ROAD, ROAD, 255, SKY])),
        (answer([SKY, SKY, ROAD, 255]), answer([SKY, SKY, SKY, 255])),
    )
    scores = measure(*pairs)
    assert scores.per_class == {'road': 2 / 4, 'sky': 3 / 4, 'car': None}
    assert scores.miou == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert scores.frames == 2
    assert measure(*((other, one) for one, other in pairs)) == scores


def test_instances_by_hand() -> None:
    """One pair with IoU 1/2 at the least, two instances without a partner."""
    one, other = answer(ids=[1, 1, 2, 2], labels=[CAR, SKY]), answer(ids=[1, 0, 2, 2], labels=[CAR, CAR])
    scores = measure((one, other))
    assert scores.instance_iou == pytest.approx((0.5 + 0 + 0.5 + 0) / 4)
    assert scores.instance_f1 == pytest.approx(2 / 4)
    assert measure((other, one)) == scores


def test_one_instance_has_one_partner() -> None:
    """Both halves reach an IoU of exactly a half."""
    scores = measure((answer(ids=[1, 1, 2, 2], labels=[CAR, CAR]), answer(ids=[1, 1, 1, 1], labels=[CAR])))
    assert scores.instance_f1 == pytest.approx(2 / 3)
    assert scores.instance_iou == pytest.approx(0.5)


def test_rows_without_a_pixel_do_not_count() -> None:
    scores = measure((answer(ids=[1, 1, 0, 0], labels=[CAR, CAR]), answer(ids=[2, 2, 0, 0], labels=[CAR, CAR])))
    assert (scores.instance_iou, scores.instance_f1) == (1.0, 1.0)


def test_depth_is_a_median_of_a_picture_and_a_mean_of_pictures() -> None:
    scores = measure(
        (answer(depth=[10, 10, 10, math.nan]), answer(depth=[20, 10, 20, 5])),
        (answer(depth=[math.inf, 3, 3, -1]), answer(depth=[7, 3, 3, 4])),
        (answer(depth=[math.nan] * 4), answer(depth=[1, 1, 1, 1])),
    )
    assert scores.depth_log_ratio == pytest.approx(math.log(2) / 2)


def test_a_head_that_one_side_lacks_is_not_compared() -> None:
    scores = measure((answer([ROAD] * 4, [1] * 4, [CAR], [1] * 4), answer()))
    assert scores.miou is None
    assert scores.instance_iou is None
    assert scores.depth_log_ratio is None
    assert json.loads(json.dumps(scores.as_dict()))['per_class'] == {'road': None, 'sky': None, 'car': None}


def test_nothing_found_by_both_is_undefined_and_by_one_is_zero() -> None:
    nothing, something = answer(ids=[0] * 4), answer(ids=[1] * 4, labels=[CAR])
    assert measure((nothing, nothing)).instance_f1 is None
    assert (measure((nothing, something)).instance_f1, measure((something, nothing)).instance_iou) == (0.0, 0.0)


def test_a_picture_that_is_refused_leaves_nothing_behind() -> None:
    metrics = AgreementMetrics(NAMES)
    metrics.update(answer([ROAD] * 4), answer([ROAD] * 4))
    before = metrics.compute()
    with pytest.raises(MetricError):
        metrics.update(answer([SKY] * 4, [0] * 4, [], [1] * 4), answer([ROAD] * 4, [0] * 4, [], [1] * 3))
    assert metrics.compute() == before


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(MetricError, match='no picture'):
        AgreementMetrics(NAMES).compute()
    with pytest.raises(MetricError, match='no class'):
        AgreementMetrics(())
    with pytest.raises(MetricError, match='there are 256'):
        AgreementMetrics([str(number) for number in range(256)])
    with pytest.raises(MetricError, match='one size'):
        measure((answer([ROAD] * 4), answer([ROAD] * 3)))
    with pytest.raises(MetricError, match='one size'):
        measure((answer(depth=[1] * 4), answer(depth=[1] * 3)))
    with pytest.raises(MetricError, match='of one size'):
        measure((answer(ids=[0] * 4), answer(ids=[0] * 3)))
    with pytest.raises(MetricError, match='the second class id 3 is neither'):
        measure((answer([ROAD] * 4), answer([ROAD, 3, ROAD, ROAD])))
