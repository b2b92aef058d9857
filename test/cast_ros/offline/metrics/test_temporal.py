# SPDX-License-Identifier: Apache-2.0
"""Steadiness of answers on drawn scenes that move by known pixels."""

from __future__ import annotations

import json
import math
from typing import Any

import cv2
import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.temporal import TemporalMetrics, TemporalScores, correspond, grey_for_flow
from cast_ros.student import Prediction

ROAD, CAR = 0, 1
NAMES = ('road', 'car', 'sky')
STEP_NS = 100_000_000
SIZE = (180, 320)
SHIFT = 7


def world() -> Any:
    """A texture larger than the picture, RGB."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX)


WORLD = world()
# Narrow stripes, so that a carried map which is off by a few pixels has a low IoU.
STRIPES = np.broadcast_to((np.arange(600) // 12 % 2).astype(np.uint8), (300, 600))
STRIPE_IDS = np.where(STRIPES == CAR, 1 + np.arange(600) // 24, 0).astype(np.uint16)
STRIPE_DEPTH = np.where(STRIPES == CAR, 5.0, 20.0).astype(np.float32)


def seen(array: Any, time: int) -> Any:
    """What a camera that moves to the right by SHIFT and down by 3 a picture sees of the world."""
    x, y = 20 + SHIFT * time, 10 + 3 * time
    return np.ascontiguousarray(array[y : y + SIZE[0], x : x + SIZE[1]])


def answer(time: int, **changes: Any) -> Prediction:
    maps = {
        'semantic': seen(STRIPES, time),
        'instance_ids': seen(STRIPE_IDS, time),
        'labels': np.full(25, CAR),
        'depth': seen(STRIPE_DEPTH, time),
        **changes,
    }
    return Prediction(*SIZE, *SIZE, **maps)


def measure(*answers: Prediction) -> TemporalScores:
    metrics = TemporalMetrics(NAMES)
    for time, one in enumerate(answers):
        metrics.update(time * STEP_NS, seen(WORLD, time), one)
    return metrics.compute()


def test_a_camera_that_moves_over_a_still_world_sees_it_consistently() -> None:
    scores = measure(*(answer(time) for time in range(4)))
    assert scores.mask_consistency is not None
    assert scores.instance_consistency is not None
    assert scores.mask_consistency > 0.97
    assert scores.instance_consistency > 0.95
    assert scores.depth_flicker == 0.0
    assert scores.per_class['sky'] is None
    assert (scores.pairs, scores.restarts) == (3, 0)
    assert [frame.stamp_ns for frame in scores.frames] == [STEP_NS, 2 * STEP_NS, 3 * STEP_NS]
    assert all(frame.visible > 0.85 for frame in scores.frames)


def test_maps_that_move_against_the_picture_are_inconsistent() -> None:
    """What a warp in the wrong direction would call consistent."""
    scores = measure(*(answer(-time) for time in range(2)))
    assert scores.mask_consistency is not None
    assert scores.mask_consistency < 0.5


def test_a_pixel_comes_from_where_the_camera_moved_away_from() -> None:
    flow = correspond(grey_for_flow(seen(WORLD, 0)), grey_for_flow(seen(WORLD, 1)))
    columns, rows = np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0]))
    inner = (slice(30, -30), slice(30, -30))
    assert np.median((flow.source_x - columns)[inner]) == pytest.approx(SHIFT, abs=0.25)
    assert np.median((flow.source_y - rows)[inner]) == pytest.approx(3, abs=0.25)
    # What has just come into the picture was nowhere before.
    assert flow.visible[:, -SHIFT + 1 :].mean() < 0.1
    assert flow.visible[inner].mean() > 0.98


def test_classes_that_flicker_are_inconsistent() -> None:
    flickering = [answer(time, semantic=seen(STRIPES, time) ^ np.uint8(time % 2)) for time in range(3)]
    scores = measure(*flickering)
    assert scores.mask_consistency is not None
    assert scores.mask_consistency < 0.05
    assert scores.instance_consistency is not None
    assert scores.instance_consistency > 0.95


def test_instances_that_come_and_go_are_inconsistent() -> None:
    nothing = np.zeros(SIZE, np.uint16)
    scores = measure(answer(0), answer(1, instance_ids=nothing), answer(2))
    assert [frame.instance_consistency for frame in scores.frames] == [None, 0.0]
    other_class = measure(answer(0), answer(1, labels=np.full(25, 2)))
    assert other_class.instance_consistency == 0.0


def test_depth_that_breathes_is_measured_in_logarithms() -> None:
    scores = measure(answer(0), answer(1, depth=seen(STRIPE_DEPTH, 1) * np.float32(1.2)))
    assert scores.depth_flicker == pytest.approx(math.log(1.2), rel=1e-3)
    holes = np.full(SIZE, np.nan, np.float32)
    assert measure(answer(0), answer(1, depth=holes)).depth_flicker is None
    assert measure(answer(0, depth=np.full(SIZE, np.inf, np.float32)), answer(1)).depth_flicker is None


def overtaken(time: int) -> tuple[Any, Any]:
    """A still texture and a car of another texture, 80 px wide, that moves to the right by 16 a picture."""
    rgb = np.ascontiguousarray(WORLD[: SIZE[0], : SIZE[1]])
    semantic = np.zeros(SIZE, np.uint8)
    car = (slice(50, 130), slice(60 + 16 * time, 140 + 16 * time))
    rgb[car] = 255 - WORLD[200:280, 400:480]
    semantic[car] = CAR
    return rgb, semantic


def test_what_was_hidden_before_does_not_count() -> None:
    """Behind the car a strip of road appears; an answer that changes there alone changes nothing."""
    scores = []
    for strange in (False, True):
        metrics = TemporalMetrics(NAMES)
        (rgb, semantic), (next_rgb, next_semantic) = overtaken(0), overtaken(1)
        revealed = (semantic == CAR) & (next_semantic == ROAD)
        # Its edges belong to the patches of the flow on both sides.
        strip = cv2.erode(revealed.astype(np.uint8), np.ones((7, 7))) > 0
        if strange:
            next_semantic = np.where(strip, 2, next_semantic).astype(np.uint8)
        metrics.update(0, rgb, Prediction(*SIZE, *SIZE, semantic=semantic))
        metrics.update(STEP_NS, next_rgb, Prediction(*SIZE, *SIZE, semantic=next_semantic))
        scores.append(metrics.compute())
        visible = correspond(grey_for_flow(rgb), grey_for_flow(next_rgb)).visible
        assert strip.sum() > 500
        assert visible[strip].mean() < 0.1
    road = [one.per_class['road'] for one in scores]
    assert road[0] is not None
    assert road[0] > 0.97
    assert road[1] == pytest.approx(road[0], abs=0.003)


@pytest.mark.parametrize(
    ('stamps', 'pairs', 'restarts'),
    [
        ((0, STEP_NS), 1, 0),
        ((0, 1_000_000_000), 1, 0),
        ((0, 1_000_000_001), 0, 1),
        ((5, 4), 0, 1),
        ((5, 5), 0, 1),
        ((9 * STEP_NS, 0, STEP_NS), 1, 1),
    ],
)
def test_a_gap_or_a_step_back_begins_anew(stamps: tuple[int, ...], pairs: int, restarts: int) -> None:
    metrics = TemporalMetrics(NAMES)
    for time, stamp_ns in enumerate(stamps):
        metrics.update(stamp_ns, seen(WORLD, time), answer(time))
    scores = metrics.compute()
    assert (scores.pairs, scores.restarts) == (pairs, restarts)


def test_another_size_begins_anew() -> None:
    metrics = TemporalMetrics(NAMES)
    metrics.update(0, seen(WORLD, 0), answer(0))
    assert metrics.update(STEP_NS, seen(WORLD, 1)[:100], answer(1)) is None
    assert metrics.compute().restarts == 1


def test_maps_of_another_size_than_the_picture_and_large_pictures_are_fitted() -> None:
    metrics = TemporalMetrics(NAMES)
    for time in range(2):
        rgb = cv2.resize(seen(WORLD, time), (1280, 720), interpolation=cv2.INTER_CUBIC)
        metrics.update(time * STEP_NS, rgb, answer(time))
    scores = metrics.compute()
    assert scores.mask_consistency is not None
    assert scores.mask_consistency > 0.95


def test_heads_that_are_absent_are_none() -> None:
    scores = measure(Prediction(*SIZE, *SIZE), Prediction(*SIZE, *SIZE))
    assert (scores.mask_consistency, scores.instance_consistency, scores.depth_flicker) == (None, None, None)
    assert scores.pairs == 1
    assert json.loads(json.dumps(scores.as_dict()))['frames'][0]['mask_consistency'] is None


def test_what_is_no_picture_is_refused() -> None:
    metrics = TemporalMetrics(NAMES)
    with pytest.raises(MetricError, match='no picture was added'):
        metrics.compute()
    with pytest.raises(MetricError, match='H x W x 3 uint8, is float64'):
        metrics.update(0, np.zeros((90, 90, 3)), answer(0))  # type: ignore[arg-type]
    with pytest.raises(MetricError, match='H x W x 3 uint8'):
        metrics.update(0, np.zeros((90, 90), np.uint8), answer(0))
    with pytest.raises(MetricError, match='at least 16 pixels a side'):
        metrics.update(0, np.zeros((12, 90, 3), np.uint8), answer(0))
    with pytest.raises(MetricError, match='class id 7 is neither'):
        measure(answer(0), answer(1, semantic=np.full(SIZE, 7, np.uint8)))
    with pytest.raises(MetricError, match='no class'):
        TemporalMetrics(())
