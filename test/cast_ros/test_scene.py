# SPDX-License-Identifier: Apache-2.0
"""Instances and points in space, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cast_ros.scene import (
    LEAST_PIXELS,
    MOST_PIXELS,
    TRIMMED_PERCENT,
    Pinhole,
    locate_instances,
    nearest_of_each_class,
    point_cloud,
)
from cast_ros.student import Prediction

CAMERA = Pinhole(fx_px=10.0, fy_px=10.0, cx_px=10.0, cy_px=5.0)
ROAD, CAR, PERSON = 0, 1, 2


def street() -> Prediction:
    """A car of 8×4 pixels at 10 m left of the middle, a person of 2×6 at 4 m right of it, road at 20 m around them."""
    ids = np.zeros((12, 24), np.uint16)
    ids[2:6, 0:8], ids[3:9, 14:16] = 1, 2
    depth = np.full((12, 24), 20.0, np.float32)
    depth[ids == 1], depth[ids == 2] = 10.0, 4.0
    depth[0] = np.inf
    depth[11] = np.nan
    return Prediction(
        height=12,
        width=24,
        image_height=12,
        image_width=24,
        boxes=np.array([[0, 2, 8, 6], [14, 3, 16, 9]], np.float32),
        labels=np.array([CAR, PERSON]),
        scores=np.array([0.9, 0.8], np.float32),
        instance_ids=ids,
        semantic=np.select([ids == 1, ids == 2], [CAR, PERSON], ROAD).astype(np.uint8),
        depth=depth,
    )


def test_objects_are_where_pinhole_geometry_puts_them() -> None:
    car, person = locate_instances(street(), CAMERA)
    assert (car.row, car.label, person.row, person.label) == (0, CAR, 1, PERSON)
    # Columns 0…7 at 10 m and 10 px: x from −10 m to −3 m; rows 2…5: y from −3 m to 0 m.
    assert car.centre_m.tolist() == pytest.approx([-6.5, -1.5, 10.0], abs=0.01)
    assert car.size_m.tolist() == pytest.approx([7.0, 3.0, 0.0], abs=0.01)
    assert person.centre_m.tolist() == pytest.approx([1.8, 0.2, 4.0], abs=0.01)
    assert person.size_m.tolist() == pytest.approx([0.4, 2.0, 0.0], abs=0.01)


def test_a_few_pixels_of_background_inside_a_mask_move_nothing() -> None:
    prediction = street()
    assert prediction.depth is not None
    depth = prediction.depth.copy()
    depth[2, 0] = 79.0
    (car, _), (plain, _) = (locate_instances(one, CAMERA) for one in (replace(prediction, depth=depth), prediction))
    assert car.centre_m.tolist() == pytest.approx(plain.centre_m.tolist(), abs=0.6)
    assert car.centre_m[2] == 10.0
    assert car.nearest_m[2] == 10.0


def test_the_nearest_point_lies_on_the_near_side() -> None:
    prediction = street()
    depth = np.tile(np.linspace(10, 17, 24, dtype=np.float32), (12, 1))
    car, _ = locate_instances(replace(prediction, depth=depth), CAMERA)
    assert car.nearest_m[2] == pytest.approx(depth[2:6, 0].mean(), abs=0.4)
    assert car.distance_m == pytest.approx(np.linalg.norm(car.nearest_m))
    assert car.size_m[2] == pytest.approx(depth[0, 7] - depth[0, 0], rel=0.1)


def test_instances_without_enough_depth_are_left_out() -> None:
    prediction = street()
    assert prediction.depth is not None
    depth = prediction.depth.copy()
    depth[prediction.instance_ids == 2] = np.nan
    assert [one.label for one in locate_instances(replace(prediction, depth=depth), CAMERA)] == [CAR]
    nothing = replace(prediction, boxes=None, labels=None, scores=None, instance_ids=None)
    assert locate_instances(nothing, CAMERA) == []
    assert locate_instances(replace(prediction, depth=None), CAMERA) == []


def scattered(seed: int) -> Prediction:
    """Up to 12 ellipses over each other on noisy depth with holes; boxes are around whole masks, as students say."""
    random = np.random.default_rng(seed)
    height, width = (int(size) for size in random.integers(60, 300, 2))
    ids, boxes = np.zeros((height, width), np.uint16), []
    depth = random.uniform(3, 60, (height, width)).astype(np.float32)
    for row in reversed(range(12)):
        high, wide = int(random.integers(1, height)), int(random.integers(1, width))
        top, left = int(random.integers(0, height - high)), int(random.integers(0, width - wide))
        ys, xs = np.mgrid[0:high, 0:wide]
        inside = ((2 * ys + 1) / high - 1) ** 2 + ((2 * xs + 1) / wide - 1) ** 2 <= 1
        ids[top : top + high, left : left + wide][inside] = row + 1
        boxes.insert(0, [left, top, left + wide, top + high])
    for value in (np.nan, np.inf, -1.0, 0.0):
        depth[random.random((height, width)) < 0.03] = value
    return Prediction(
        height=height,
        width=width,
        image_height=height,
        image_width=width,
        boxes=np.array(boxes, np.float32),
        labels=random.integers(0, 3, 12),
        scores=np.linspace(0.9, 0.5, 12, dtype=np.float32),
        instance_ids=ids,
        semantic=None,
        depth=depth,
    )


@pytest.mark.parametrize('seed', range(8))
def test_objects_are_those_of_numpy_s_percentiles_over_the_mask(seed: int) -> None:
    prediction = scattered(seed)
    assert prediction.instance_ids is not None
    assert prediction.depth is not None
    expected = {}
    for row in range(12):
        rows, columns = np.nonzero(prediction.instance_ids == row + 1)
        step = max(1, len(rows) // MOST_PIXELS)
        rows, columns = rows[::step], columns[::step]
        depths = prediction.depth[rows, columns].astype(float)
        known = np.isfinite(depths) & (depths > 0)
        rows, columns, depths = rows[known], columns[known], depths[known]
        points = np.stack([(columns - 10) * depths / 10, (rows - 5) * depths / 10, depths], axis=1)
        if len(points) >= LEAST_PIXELS:
            low, high = np.percentile(points, [TRIMMED_PERCENT, 100 - TRIMMED_PERCENT], axis=0)
            nearest = points[depths.argsort()[round((len(points) - 1) * TRIMMED_PERCENT / 100)]]
            expected[row] = ((low + high) / 2, high - low, nearest)
    found = {one.row: (one.centre_m, one.size_m, one.nearest_m) for one in locate_instances(prediction, CAMERA)}
    assert list(found) == list(expected)
    assert len(found) >= 2
    for row, arrays in expected.items():
        for mine, numpys in zip(found[row], arrays, strict=True):
            np.testing.assert_allclose(mine, numpys, rtol=1e-4, atol=1e-4)


def test_a_picture_without_instances_has_no_objects() -> None:
    nothing = replace(
        street(),
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
        scores=np.zeros(0, np.float32),
        instance_ids=np.zeros((12, 24), np.uint16),
    )
    assert locate_instances(nothing, CAMERA) == []
    beside = replace(street(), boxes=np.array([[30, 2, 40, 6], [14, 3, 16, 9]], np.float32))
    assert [one.label for one in locate_instances(beside, CAMERA)] == [PERSON]


def test_one_object_of_each_class_is_the_nearest() -> None:
    car, person = locate_instances(street(), CAMERA)
    far = replace(car, row=5, nearest_m=car.nearest_m * 2)
    assert [one.row for one in nearest_of_each_class([far, car, person])] == [1, 0]


def test_points_carry_place_colour_class_and_instance() -> None:
    rgb = np.zeros((12, 24, 3), np.uint8)
    rgb[..., 0], rgb[..., 2] = np.arange(12)[:, None], np.arange(24)
    cloud = point_cloud(street(), rgb, CAMERA)
    # Neither the row of sky nor the row without depth.
    assert len(cloud) == 10 * 24
    one = cloud[(5 - 1) * 24 + 14]
    assert (one['x'], one['y'], one['z']) == (pytest.approx(1.6), 0.0, 4.0)
    assert (one['rgb'], one['label'], one['instance']) == (5 << 16 | 14, PERSON, 2)


def test_a_grid_thins_the_cloud_and_classes_can_be_left_out() -> None:
    prediction = street()
    rgb = np.zeros((12, 24, 3), np.uint8)
    every = point_cloud(prediction, rgb, CAMERA)
    thin = point_cloud(prediction, rgb, CAMERA, stride=4)
    assert len(thin) == 3 * 6
    assert set(thin['z'].tolist()) <= set(every['z'].tolist())
    assert all(point in every for point in thin)
    obstacles = point_cloud(prediction, rgb, CAMERA, left_out={ROAD})
    assert set(obstacles['label'].tolist()) == {CAR, PERSON}
    assert len(obstacles) == 8 * 4 + 2 * 6


def test_a_cloud_needs_depth_alone_and_a_picture_of_any_size() -> None:
    depth_alone = replace(street(), boxes=None, labels=None, scores=None, instance_ids=None, semantic=None)
    rgb = np.zeros((24, 48, 3), np.uint8)
    rgb[10:12, 28:30] = (1, 2, 3)
    cloud = point_cloud(depth_alone, rgb, CAMERA)
    assert set(cloud['label'].tolist()) == {255}
    assert not cloud['instance'].any()
    assert cloud[(5 - 1) * 24 + 14]['rgb'] == 0x010203
    assert len(point_cloud(replace(depth_alone, depth=None), rgb, CAMERA)) == 0
