# SPDX-License-Identifier: Apache-2.0
"""AP of any multiset of pictures: by hand, and equal to faster-coco-eval's on the same pictures."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.instance_matches import FrameMatches, MatchedFrames
from cast_ros.offline.metrics.instances import InstanceMetrics, InstanceScores

CATEGORIES = {0: 'person', 2: 'rider', 3: 'car', 5: 'tram'}
SIZE = (60, 90)
PERSON, CAR = 0, 3


def painted(rng: np.random.Generator, rows: int) -> Any:
    """Ids of boxes that cover one another; some lose every pixel."""
    ids = np.zeros(SIZE, np.uint16)
    for row in range(rows):
        y, x = rng.integers(0, SIZE[0] - 8), rng.integers(0, SIZE[1] - 8)
        ids[y : y + rng.integers(3, 25), x : x + rng.integers(3, 25)] = row + 1
    return ids


def scene(seed: int, most_true: int = 9) -> InstanceFrame:
    """True boxes of four classes, one absent, with crowds and void; answers that are shifted, wrong or invented."""
    rng = np.random.default_rng(seed)
    true_ids = painted(rng, true_count := int(rng.integers(0, most_true)))
    true_labels = rng.choice([0, 2, 3, 9], true_count)
    ids = np.roll(true_ids, rng.integers(-2, 3, 2), axis=(0, 1))
    ids[ids == 1] = 0
    labels = np.where(rng.random(true_count) < 0.8, true_labels, rng.choice([0, 2, 3, 5, 9], true_count))
    invented = painted(rng, extra := int(rng.integers(0, 5)))
    ids = np.where((invented > 0) & (ids == 0), invented + true_count, ids)
    return InstanceFrame(
        instance_ids=ids,
        labels=np.concatenate([labels, rng.choice([0, 2, 3, 5], extra)]).astype(np.int64),
        scores=rng.random(true_count + extra).astype(np.float32),
        true_instance_ids=true_ids,
        true_labels=true_labels,
        true_is_crowd=rng.random(true_count) < 0.25,
        void=rng.random(SIZE) < 0.1,
    )


def matched(*frames: InstanceFrame, categories: dict[int, str] = CATEGORIES) -> MatchedFrames:
    return MatchedFrames([FrameMatches.of(frame) for frame in frames], categories)


def reference(*frames: InstanceFrame) -> InstanceScores:
    metrics = InstanceMetrics(CATEGORIES)
    for frame in frames:
        metrics.update(frame)
    return metrics.compute()


def check(pool: MatchedFrames, coco: InstanceScores, counts: Any = None) -> None:
    assert pool.ap(counts) == pytest.approx(coco.ap, abs=1e-9)
    assert pool.ap50(counts) == pytest.approx(coco.ap50, abs=1e-9)
    for name, precision in pool.per_class(counts).items():
        assert precision.ap == pytest.approx(coco.per_class[name].ap, abs=1e-9), name
        assert precision.ap50 == pytest.approx(coco.per_class[name].ap50, abs=1e-9), name
        assert precision.true_count == coco.per_class[name].true_count, name


@pytest.mark.parametrize('seed', range(12))
def test_random_scenes_give_the_numbers_of_faster_coco_eval(seed: int) -> None:
    frames = [scene(1000 * seed + number) for number in range(1 + 3 * seed)]
    coco = reference(*frames)
    check(matched(*frames), coco)
    assert coco.ap is not None
    assert 0.05 < coco.ap < 0.95


def test_a_multiset_of_pictures_is_the_pictures_repeated() -> None:
    frames = [scene(number) for number in range(12)]
    counts = np.random.default_rng(3).multinomial(12, np.full(12, 1 / 12))
    repeated = [frame for frame, times in zip(frames, counts, strict=True) for _ in range(times)]
    assert counts.max() > 1
    assert counts.min() == 0
    pool = matched(*frames)
    check(pool, reference(*repeated), counts)
    check(pool, reference(*frames[4:7]), np.isin(np.arange(12), [4, 5, 6]).astype(int))


def test_equal_scores_rank_as_in_coco() -> None:
    frames = []
    for number in range(8):
        one = scene(50 + number)
        frames.append(
            InstanceFrame(
                one.instance_ids,
                one.labels,
                np.round(one.scores * 4) / 4,
                one.true_instance_ids,
                one.true_labels,
                one.true_is_crowd,
            )
        )
    check(matched(*frames), reference(*frames))


def test_of_more_than_a_hundred_answers_the_best_hundred_of_each_class_count() -> None:
    ids = np.arange(1, 241, dtype=np.int64).reshape(12, 20)
    labels = np.where(np.arange(240) < 120, PERSON, CAR)
    scores = np.random.default_rng(0).random(240)
    frame = InstanceFrame(ids, labels, scores, ids, labels)
    pool = matched(frame)
    check(pool, reference(frame))
    assert pool.per_class()['car'].ap == pytest.approx(84 / 101)


def test_the_curve_by_hand() -> None:
    """Right, wrong, right of three to find: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3."""
    truth = np.array([[1, 1, 2, 2, 3, 3, 0, 0]])
    answer = np.array([[1, 1, 3, 3, 0, 0, 2, 2]])
    frame = InstanceFrame(answer, np.full(3, CAR), np.array([0.9, 0.8, 0.7]), truth, np.full(3, CAR))
    pool = matched(frame, categories={CAR: 'car', PERSON: 'person'})
    curve = pool.curves()['car']
    assert curve is not None
    assert curve.precision.tolist() == [1, 1 / 2, 2 / 3]
    assert curve.recall.tolist() == [1 / 3, 1 / 3, 2 / 3]
    assert curve.scores.tolist() == [0.9, 0.8, 0.7]
    assert pool.curves()['person'] is None
    # Recalls 0 to 0.33 (34 steps) have precision 1, those to 0.66 (33) have 2/3.
    assert pool.ap50() == pytest.approx((34 + 33 * 2 / 3) / 101)


def test_answers_of_one_score_are_one_point_of_the_curve() -> None:
    truth, answer = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 2, 2]])
    frame = InstanceFrame(answer, np.full(2, CAR), np.array([0.5, 0.5]), truth, np.array([CAR]))
    curve = matched(frame).curves()['car']
    assert curve is not None
    assert (curve.precision.tolist(), curve.recall.tolist(), curve.scores.tolist()) == ([0.5], [1.0], [0.5])


def test_a_crowd_is_ignored_as_often_as_it_is_found() -> None:
    truth, answer = np.array([[1, 1, 1, 1, 2, 2]]), np.array([[1, 1, 2, 2, 3, 3]])
    frame = InstanceFrame(
        answer, np.full(3, CAR), np.array([0.9, 0.8, 0.7]), truth, np.full(2, CAR), np.array([True, False])
    )
    matches = FrameMatches.of(frame)
    assert matches.is_ignored[0].tolist() == [True, True, False]
    assert matches.is_true[0].tolist() == [False, False, True]
    assert matches.true_counts == {CAR: 1}
    curve = matched(frame).curves()['car']
    assert curve is not None
    assert curve.precision.tolist() == [1.0]


def test_nothing_answered_is_zero_and_nothing_to_find_is_undefined() -> None:
    blank, none = np.zeros((2, 4), int), np.zeros(0, int)
    ids = np.ones((2, 4), int)
    silent = InstanceFrame(blank, none, np.zeros(0), ids, np.array([CAR]))
    invented = InstanceFrame(ids, np.array([CAR]), np.array([0.5]), blank, none)
    empty = InstanceFrame(blank, none, np.zeros(0), blank, none)
    assert matched(silent, empty).ap() == 0.0
    assert matched(invented, empty).ap() is None
    assert matched(invented, empty).per_class()['car'].ap50 is None
    pool = matched(silent, invented)
    assert pool.ap(np.array([0, 2])) is None
    curve = matched(silent).curves()['car']
    assert curve is not None
    assert curve.precision.size == 0


def test_a_thousand_resamples_of_a_hundred_pictures_take_seconds() -> None:
    pool = matched(*(scene(number, most_true=20) for number in range(100)))
    rng = np.random.default_rng(0)
    started = time.process_time()
    values = [pool.ap(rng.multinomial(100, np.full(100, 0.01))) for _ in range(1000)]
    assert time.process_time() - started < 20
    assert len(set(values)) > 900


@pytest.mark.parametrize(
    ('counts', 'sentence'),
    [
        (np.array([1, 1, 1]), 'counts must be 2 integers'),
        (np.array([0.5, 0.5]), 'counts must be 2 integers'),
        (np.array([-1, 2]), 'negative'),
        (np.array([0, 0]), 'one picture must count'),
    ],
)
def test_counts_that_make_no_sense_are_refused(counts: Any, sentence: str) -> None:
    with pytest.raises(MetricError, match=sentence):
        matched(scene(1), scene(2)).ap(counts)


def test_nothing_to_rank_is_refused() -> None:
    with pytest.raises(MetricError, match='no picture'):
        MatchedFrames([], CATEGORIES)
    with pytest.raises(MetricError, match='no category'):
        MatchedFrames([FrameMatches.of(scene(1))], {})
