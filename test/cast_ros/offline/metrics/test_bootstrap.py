# SPDX-License-Identifier: Apache-2.0
"""Intervals of differences, and the statistics of resampled pictures that they are made from."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.bootstrap import block_counts, paired_bootstrap
from cast_ros.offline.metrics.depth import DepthMetrics, frame_depth, mean_depth_error
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.instance_matches import FrameMatches, MatchedFrames
from cast_ros.offline.metrics.semantic import SemanticMetrics, confusion_of, mean_iou


def weighted_mean(values: Any, counts: Any) -> float | None:
    return float(np.average(values, weights=counts))


def independent(seed: int, frames: int = 400) -> Any:
    return np.random.default_rng(seed).normal(0.0, 1.0, frames)


def drifting(seed: int, frames: int = 400) -> Any:
    """Runs of twenty pictures that share one value."""
    return np.repeat(np.random.default_rng(seed).normal(0.0, 1.0, frames // 20), 20)


def test_the_interval_of_independent_pictures_has_the_width_of_the_normal_law() -> None:
    gain = independent(1)
    found = paired_bootstrap(weighted_mean, np.zeros(400), gain, resamples=2000, block_length=1)
    assert found is not None
    assert found.difference == pytest.approx(gain.mean())
    assert found.low < found.difference < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * gain.std() / 20, rel=0.08)
    assert (found.resamples, found.block_length) == (2000, 1)


def test_a_difference_that_every_picture_shares_is_certain() -> None:
    found = paired_bootstrap(weighted_mean, independent(2), independent(2) + 0.25)
    assert found is not None
    assert (found.difference, found.low, found.high) == (pytest.approx(0.25),) * 3


def test_b_above_a_is_positive() -> None:
    found = paired_bootstrap(weighted_mean, np.zeros(40), np.arange(1.0, 41.0))
    assert found is not None
    assert found.low > 0


def test_pictures_that_resemble_their_neighbours_are_less_evidence() -> None:
    """Of 400 pictures twenty are independent, so the interval is nearly sqrt(20) times as wide as it looks."""
    gain = drifting(3)
    single = paired_bootstrap(weighted_mean, np.zeros(400), gain, block_length=1)
    blocks = paired_bootstrap(weighted_mean, np.zeros(400), gain, block_length=40)
    assert single is not None
    assert blocks is not None
    assert (blocks.high - blocks.low) > 2.5 * (single.high - single.low)


def test_the_seed_alone_decides() -> None:
    arguments: Any = (weighted_mean, np.zeros(400), independent(4))
    assert paired_bootstrap(*arguments, seed=5) == paired_bootstrap(*arguments, seed=5)
    assert paired_bootstrap(*arguments, seed=5) != paired_bootstrap(*arguments, seed=6)


def test_blocks_are_consecutive_and_fill_the_drive() -> None:
    seen = np.zeros(23, int)
    for counts in block_counts(23, 5, 200, 0):
        assert counts.sum() == 23
        # Any picture but the last of a cut block has a neighbour that was drawn with it.
        drawn = np.flatnonzero(counts)
        assert all(index - 1 in drawn or index + 1 in drawn for index in drawn[1:-1])
        seen += counts
    assert (seen > 0).all()


def test_a_short_drive_gets_shorter_blocks_and_no_interval_of_no_width() -> None:
    found = paired_bootstrap(weighted_mean, np.zeros(9), np.arange(9.0))
    assert found is not None
    assert found.block_length == 2
    assert found.high - found.low > 1


def test_resamples_without_the_statistic_are_left_out_and_counted() -> None:
    def of_the_first(values: Any, counts: Any) -> float | None:
        return float(values[0]) if counts[0] else None

    found = paired_bootstrap(of_the_first, np.zeros(40), np.ones(40), resamples=200)
    assert found is not None
    assert 0 < found.resamples < 200
    assert (found.difference, found.low, found.high) == (1.0, 1.0, 1.0)
    assert paired_bootstrap(lambda values, counts: None, [1, 2], [1, 2]) is None


def test_can_be_written_as_json() -> None:
    found = paired_bootstrap(weighted_mean, np.zeros(9), np.arange(9.0))
    assert found is not None
    assert json.loads(json.dumps(found.as_dict()))['difference'] == 4.0


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (([1, 2], [1, 2, 3]), 'one side has 2 and the other 3'),
        (([1], [1]), 'at least 2 pictures, there are 1'),
        (([], []), 'at least 2 pictures'),
        (([1, 2], [1, 2], 0), 'must be positive, are 0 and 10'),
        (([1, 2], [1, 2], 10, 0, 0), 'must be positive, are 10 and 0'),
    ],
)
def test_what_cannot_be_resampled_is_refused(arguments: Any, sentence: str) -> None:
    with pytest.raises(MetricError, match=sentence):
        paired_bootstrap(weighted_mean, *arguments)


def maps(seed: int, frames: int) -> list[tuple[Any, Any]]:
    """Predicted and true class maps of three classes, a third of the pictures without class 2."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(frames):
        truth = rng.choice([0, 1, 255] if number % 3 else [0, 1, 2, 255], (12, 20))
        pairs.append((np.where(rng.random((12, 20)) < 0.7, truth, rng.integers(0, 3, (12, 20))), truth))
    return pairs


COUNTS = np.array([2, 0, 1, 3, 0, 0])


def repeated(frames: list[Any]) -> list[Any]:
    return [frame for frame, times in zip(frames, COUNTS, strict=True) for _ in range(times)]


def test_the_iou_of_resampled_pictures_is_that_of_the_pictures_repeated() -> None:
    pairs = maps(0, 6)
    metrics = SemanticMetrics(('a', 'b', 'c'))
    for semantic, truth in repeated(pairs):
        metrics.update(semantic, truth)
    confusions = np.array([confusion_of(semantic, truth, 3) for semantic, truth in pairs])
    assert mean_iou(confusions, COUNTS) == pytest.approx(metrics.compute().miou, abs=1e-12)
    assert mean_iou(np.zeros((2, 3, 4), int)) is None


@pytest.mark.parametrize('scaling', ['none', 'median'])
def test_the_depth_error_of_resampled_pictures_is_that_of_the_pictures_repeated(scaling: Any) -> None:
    rng = np.random.default_rng(1)
    pairs = [(rng.uniform(1, 90, (5, 6)), rng.uniform(1, 90, (5, 6))) for _ in range(5)]
    pairs.insert(3, (np.full((5, 6), np.nan), np.full((5, 6), 3.0)))
    metrics = DepthMetrics(80.0, scaling)
    for depth, truth in repeated(pairs):
        metrics.update(depth, truth)
    frames = [frame_depth(depth, truth, 80.0, scaling) for depth, truth in pairs]
    assert mean_depth_error(frames, COUNTS) == pytest.approx(metrics.compute().abs_rel, abs=1e-12)
    assert mean_depth_error(frames, COUNTS, 'rmse') == pytest.approx(metrics.compute().rmse, abs=1e-12)
    assert mean_depth_error(frames, np.array([0, 0, 0, 1, 0, 0])) is None
    with pytest.raises(MetricError, match="no depth error 'mae'; there are abs_rel"):
        mean_depth_error(frames, name='mae')


def test_students_are_compared_by_ap_iou_and_depth_in_seconds() -> None:
    started = time.process_time()
    rng = np.random.default_rng(2)
    ids = np.arange(1, 13).reshape(3, 4).repeat(4, axis=0).repeat(4, axis=1)
    labels = np.arange(12) % 3

    def answers(right: float) -> MatchedFrames:
        frames = []
        for _ in range(100):
            said = np.where(rng.random(12) < right, labels, 9)
            frames.append(FrameMatches.of(InstanceFrame(ids, said, rng.random(12), ids, labels)))
        return MatchedFrames(frames, {0: 'a', 1: 'b', 2: 'c'})

    ap = paired_bootstrap(MatchedFrames.ap, answers(0.5), answers(0.7))
    assert ap is not None
    assert 0.1 < ap.low < ap.difference < ap.high < 0.3
    confusions = np.array([confusion_of(semantic, truth, 3) for semantic, truth in maps(3, 100)])
    iou = paired_bootstrap(mean_iou, confusions, confusions)
    assert iou is not None
    assert (iou.low, iou.difference, iou.high) == (0, 0, 0)
    near = [frame_depth(np.full((2, 2), 11.0), np.full((2, 2), 10.0), 80.0)] * 100
    far = [frame_depth(np.full((2, 2), 12.0), np.full((2, 2), 10.0), 80.0)] * 100
    depth = paired_bootstrap(mean_depth_error, near, far)
    assert depth is not None
    assert depth.low == pytest.approx(0.1)
    assert time.process_time() - started < 30
