# SPDX-License-Identifier: Apache-2.0
"""Panoptic quality by hand and against torchmetrics."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.detection import PanopticQuality as Reference

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.panoptic import (
    PanopticMetrics,
    PanopticQuality,
    PanopticScores,
    mean_panoptic_quality,
    panoptic_sums_of,
)

ROAD, SKY, PERSON, CAR = range(4)
NAMES = ('road', 'sky', 'person', 'car')
THINGS = (PERSON, CAR)
VOID = 255


def frame(
    ids: Any, labels: list[int], true_ids: Any, true_labels: list[int], crowd: list[bool] | None = None
) -> InstanceFrame:
    return InstanceFrame(
        instance_ids=np.array(ids),
        labels=np.array(labels, np.int64),
        scores=np.linspace(1, 0.5, len(labels)),
        true_instance_ids=np.array(true_ids),
        true_labels=np.array(true_labels, np.int64),
        **({} if crowd is None else {'true_is_crowd': np.array(crowd)}),
    )


def measure(*pictures: tuple[InstanceFrame, Any, Any]) -> PanopticScores:
    metrics = PanopticMetrics(NAMES, THINGS)
    for instances, semantic, true_semantic in pictures:
        metrics.update(instances, np.array(semantic, np.uint8), np.array(true_semantic, np.uint8))
    return metrics.compute()


def test_every_number_by_hand() -> None:
    """Road 4 of 6 found and nothing else; one car exactly, one missed; a person invented on the missed car."""
    true_ids = [[0, 0, 0, 0, 0, 0, 1, 1, 2, 2]]
    true_semantic = [[ROAD] * 6 + [CAR] * 4]
    ids = [[0, 0, 0, 0, 0, 0, 1, 1, 2, 2]]
    semantic = [[ROAD] * 4 + [SKY] * 2 + [CAR] * 4]
    scores = measure((frame(ids, [CAR, PERSON], true_ids, [CAR, CAR]), semantic, true_semantic))
    road, sky, person, car = (scores.per_class[name] for name in NAMES)
    assert road == PanopticQuality(pytest.approx(4 / 6), pytest.approx(4 / 6), 1.0)
    assert sky == PanopticQuality(0.0, 0.0, 0.0)
    assert person == PanopticQuality(0.0, 0.0, 0.0)
    assert car == PanopticQuality(pytest.approx(1 / 1.5), 1.0, pytest.approx(1 / 1.5))
    assert scores.all is not None
    assert scores.things is not None
    assert scores.stuff is not None
    assert scores.all.pq == pytest.approx((4 / 6 + 1 / 1.5) / 4)
    assert scores.things.sq == pytest.approx(0.5)
    assert scores.stuff.rq == pytest.approx(0.5)
    assert scores.frames == 1


def test_half_an_overlap_is_no_match() -> None:
    scores = measure((frame([[1, 1, 0, 0]], [CAR], [[1, 1, 1, 1]], [CAR]), [[CAR] * 4], [[CAR] * 4]))
    assert scores.per_class['car'] == PanopticQuality(0.0, 0.0, 0.0)
    assert scores.per_class['road'] is None


def test_void_is_taken_out_of_the_answer_before_the_overlap() -> None:
    """Of six predicted pixels three lie on void; the other three are the whole car."""
    true_semantic = [[VOID] * 3 + [CAR] * 3]
    instances = frame([[1] * 6], [CAR], [[0, 0, 0, 1, 1, 1]], [CAR])
    assert measure((instances, [[CAR] * 6], true_semantic)).per_class['car'] == PanopticQuality(1.0, 1.0, 1.0)


@pytest.mark.parametrize(('on_void', 'invented'), [(2, True), (3, False)])
def test_an_invented_segment_mostly_on_void_is_forgiven(on_void: int, invented: bool) -> None:
    true_semantic = [[VOID] * on_void + [ROAD] * (4 - on_void) + [ROAD] * 8]
    nothing_true = np.zeros((1, 12), int)
    scores = measure((frame([[1] * 4 + [0] * 8], [CAR], nothing_true, []), [[ROAD] * 12], true_semantic))
    assert scores.per_class['car'] == (PanopticQuality(0.0, 0.0, 0.0) if invented else None)


def test_a_crowd_is_neither_missed_nor_makes_an_answer_invented() -> None:
    true_ids = [[1, 1, 1, 1, 0, 0]]
    for label, expected in ((CAR, None), (PERSON, PanopticQuality(0.0, 0.0, 0.0))):
        instances = frame([[1, 1, 1, 0, 0, 0]], [label], true_ids, [CAR], [True])
        scores = measure((instances, [[CAR] * 4 + [ROAD] * 2], [[CAR] * 4 + [ROAD] * 2]))
        assert scores.per_class['car'] is None
        assert scores.per_class['person'] == (expected if label == PERSON else None)


def test_a_thing_of_the_semantic_map_alone_is_no_prediction() -> None:
    """It would be a segment that joins two cars, and it is no road either."""
    true_ids = [[1, 1, 2, 2, 0, 0, 0]]
    scores = measure(
        (frame(np.zeros((1, 7), int), [], true_ids, [CAR, CAR]), [[CAR] * 4 + [ROAD] * 3], [[CAR] * 4 + [ROAD] * 3])
    )
    assert scores.per_class['car'] == PanopticQuality(0.0, 0.0, 0.0)
    assert scores.per_class['road'] == PanopticQuality(1.0, 1.0, 1.0)


def test_an_instance_owns_its_pixels_whatever_the_semantic_map_says() -> None:
    scores = measure((frame([[1, 1, 0]], [CAR], [[1, 1, 0]], [CAR]), [[ROAD] * 3], [[SKY, SKY, ROAD]]))
    assert scores.per_class['car'] == PanopticQuality(1.0, 1.0, 1.0)
    assert scores.per_class['road'] == PanopticQuality(1.0, 1.0, 1.0)
    assert scores.per_class['sky'] is None


def test_rows_of_stuff_or_unknown_classes_belong_to_nobody() -> None:
    scores = measure((frame([[1, 2, 0, 0]], [ROAD, 77], [[0] * 4], []), [[ROAD] * 4], [[VOID, VOID, ROAD, ROAD]]))
    assert scores.per_class == {
        'road': PanopticQuality(1.0, 1.0, 1.0), 'sky': None, 'person': None, 'car': None
    }  # fmt: skip


def test_a_picture_of_void_has_no_quality() -> None:
    scores = measure((frame([[0, 1]], [CAR], [[0, 0]], []), [[ROAD, ROAD]], [[VOID, VOID]]))
    assert (scores.all, scores.things, scores.stuff) == (None, None, None)
    assert json.loads(json.dumps(scores.as_dict()))['per_class']['car'] is None


def picture(seed: int) -> tuple[InstanceFrame, Any, Any]:
    """Blocks of stuff, void and instances; the answer is the truth, shifted, with classes and instances confused."""
    rng = np.random.default_rng(seed)
    size = (36, 48)
    true_semantic = rng.choice([ROAD, SKY, ROAD, SKY, VOID], (6, 8)).repeat(6, axis=0).repeat(6, axis=1)
    true_ids = np.zeros(size, np.uint16)
    true_labels = rng.choice(THINGS, 7)
    for row in range(7):
        y, x = rng.integers(0, 28), rng.integers(0, 38)
        true_ids[y : y + rng.integers(4, 12), x : x + rng.integers(4, 12)] = row + 1
    true_semantic = np.where(true_ids > 0, np.append(0, true_labels)[true_ids], true_semantic)
    ids = np.roll(true_ids, rng.integers(-1, 2, 2), axis=(0, 1))
    ids[ids == 2] = 0
    labels = np.where(rng.random(7) < 0.8, true_labels, rng.choice(THINGS, 7))
    semantic = np.roll(true_semantic, rng.integers(-1, 2, 2), axis=(0, 1))
    semantic[:6, :6] = rng.choice([ROAD, CAR, VOID])
    return frame(ids, labels.tolist(), true_ids, true_labels.tolist()), semantic, true_semantic


def coloured(ids: Any, labels: Any, semantic: Any, nobody: int) -> Any:
    """(1, H, W, 2) class and instance, as torchmetrics takes them."""
    stuff = np.where(np.isin(semantic, (ROAD, SKY)), semantic, nobody)
    classes = np.where(ids > 0, np.append(0, labels)[ids], stuff)
    return torch.from_numpy(np.stack([classes, ids.astype(np.int64)], axis=-1)[None].astype(np.int64))


@pytest.mark.parametrize('seed', range(5))
def test_random_pictures_give_the_numbers_of_torchmetrics(seed: int) -> None:
    """The reference also forgives what is missed under an answer of nobody, which the paper does not.

    So nobody gets a class of its own there, which no truth has.
    """
    nobody = 50
    reference = Reference(
        things=set(THINGS),
        stuffs={ROAD, SKY, nobody},
        allow_unknown_preds_category=True,
        return_sq_and_rq=True,
        return_per_class=True,
    )
    pictures = [picture(100 * seed + number) for number in range(4)]
    for instances, semantic, true_semantic in pictures:
        reference.update(
            coloured(instances.instance_ids, instances.labels, semantic, nobody),
            coloured(instances.true_instance_ids, instances.true_labels, true_semantic, VOID),
        )
    table = reference.compute().reshape(-1, 3).numpy()
    order = [PERSON, CAR, ROAD, SKY]
    scores = measure(*pictures)
    for class_id, row in zip(order, table[:4], strict=True):
        ours = scores.per_class[NAMES[class_id]]
        assert ours is not None
        assert (ours.pq, ours.sq, ours.rq) == pytest.approx(tuple(row), abs=1e-6), NAMES[class_id]
    assert scores.all is not None
    assert 0.1 < scores.all.pq < 0.95


def test_resampled_pictures_have_the_quality_of_the_pictures_repeated() -> None:
    pictures = [picture(number) for number in range(3)]
    is_thing = np.array([False, False, True, True])
    sums = np.array([panoptic_sums_of(*one, is_thing) for one in pictures])
    expected = measure(pictures[0], pictures[2], pictures[2]).all
    assert expected is not None
    assert mean_panoptic_quality(sums, np.array([1, 0, 2])) == pytest.approx(expected.pq)
    assert mean_panoptic_quality(np.zeros((2, 4, 4))) is None


def test_what_cannot_be_compared_is_refused() -> None:
    blank = frame([[0, 0]], [], [[0, 0]], [])
    with pytest.raises(MetricError, match='no picture'):
        PanopticMetrics(NAMES, THINGS).compute()
    with pytest.raises(MetricError, match='no class'):
        PanopticMetrics((), ())
    with pytest.raises(MetricError, match=r'things \[9\] are none of the classes'):
        PanopticMetrics(NAMES, (CAR, 9))
    with pytest.raises(MetricError, match='must have one size'):
        measure((blank, [[0]], [[0, 0]]))
    with pytest.raises(MetricError, match='predicted class id 4 is neither'):
        measure((blank, [[0, 4]], [[0, 0]]))
    with pytest.raises(MetricError, match='true class id 200 is neither'):
        measure((blank, [[0, 0]], [[200, 0]]))
