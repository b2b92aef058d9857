# SPDX-License-Identifier: Apache-2.0
"""Masks, semantic map and depth from raw outputs, hand-made and hostile."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from cast_ros.student import InputGeometry, InputSpec
from cast_ros.student.geometry import MapSampler
from cast_ros.student.postprocessing import Instances, paint_instances, read_depth, read_semantic

CAR, PERSON = 2, 3
Floats = npt.NDArray[np.float32]


def sampler(height: int = 64, width: int = 128, resize: str = 'stretch') -> MapSampler:
    spec = InputSpec.model_validate({'height': 64, 'width': 128, 'resize': resize})
    return InputGeometry.for_image(height, width, spec).to_image_maps(16, 32)


def block(top: int, bottom: int, left: int, right: int, logit: float = 4.0) -> Floats:
    """(16, 32) logits, positive in one block of cells."""
    cells = np.full((16, 32), -4.0, np.float32)
    cells[top:bottom, left:right] = logit
    return cells


def paint(
    masks: list[Floats],
    scores: list[float],
    labels: list[int] | None = None,
    at: MapSampler | None = None,
    threshold: float = 0.0,
) -> Instances:
    chosen = [CAR] * len(scores) if labels is None else labels
    return paint_instances(
        np.array(scores, np.float32),
        np.array(chosen, np.int64),
        np.stack(masks) if masks else np.zeros((0, 16, 32), np.float32),
        at or sampler(),
        (CAR, PERSON),
        threshold,
    )


def test_a_block_of_cells_becomes_a_box_and_an_id() -> None:
    found = paint([block(2, 6, 8, 16)], [0.9])
    np.testing.assert_array_equal(found.boxes, [[32, 8, 64, 24]])
    assert found.instance_ids.dtype == np.uint16
    assert set(np.unique(found.instance_ids)) == {0, 1}
    assert found.instance_ids[16, 48] == 1
    assert found.instance_ids[4, 48] == 0


def test_rows_come_best_first_whatever_the_order_of_the_network() -> None:
    found = paint([block(0, 4, 0, 4), block(8, 12, 0, 4), block(0, 4, 20, 24)], [0.3, 0.9, 0.6], [CAR, PERSON, CAR])
    np.testing.assert_allclose(found.scores, [0.9, 0.6, 0.3])
    np.testing.assert_array_equal(found.labels, [PERSON, CAR, CAR])
    assert (found.instance_ids[40, 8], found.instance_ids[8, 88], found.instance_ids[8, 8]) == (1, 2, 3)


def test_the_higher_score_owns_contested_pixels_and_boxes_stay_whole() -> None:
    found = paint([block(0, 8, 0, 16), block(0, 8, 8, 24)], [0.5, 0.8])
    np.testing.assert_array_equal(found.boxes, [[32, 0, 96, 32], [0, 0, 64, 32]])
    assert found.instance_ids[16, 48] == 1
    assert found.instance_ids[16, 16] == 2


def test_a_row_that_lost_every_pixel_is_dropped_and_ids_have_no_gap() -> None:
    found = paint([block(0, 8, 0, 16), block(2, 4, 2, 4), block(12, 16, 0, 4)], [0.9, 0.8, 0.7])
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    assert list(np.unique(found.instance_ids)) == [0, 1, 2]
    assert found.instance_ids[56, 8] == 2


@pytest.mark.parametrize('score', [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_drops_its_row(score: float) -> None:
    found = paint([block(0, 4, 0, 4), block(8, 12, 0, 4)], [score, 0.5])
    np.testing.assert_allclose(found.scores, [0.5])
    assert found.instance_ids.max() == 1


@pytest.mark.parametrize('logit', [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_drop_their_row(logit: float) -> None:
    broken = block(0, 4, 0, 4)
    broken[10, 10] = logit
    found = paint([broken, block(8, 12, 0, 4)], [0.9, 0.5])
    np.testing.assert_allclose(found.scores, [0.5])


@pytest.mark.parametrize('label', [0, 1, -1, 4, 2**40])
def test_a_label_that_is_no_thing_drops_its_row(label: int) -> None:
    found = paint([block(0, 4, 0, 4), block(8, 12, 0, 4)], [0.9, 0.5], [label, PERSON])
    np.testing.assert_array_equal(found.labels, [PERSON])


def test_scores_below_the_threshold_are_left_out_and_at_it_kept() -> None:
    found = paint([block(0, 4, 0, 4), block(8, 12, 0, 4), block(8, 12, 9, 12)], [0.5, 0.25, 0.125], threshold=0.25)
    np.testing.assert_allclose(found.scores, [0.5, 0.25])


def test_nothing_found_gives_empty_rows_of_the_right_shapes() -> None:
    for found in (paint([], []), paint([block(0, 0, 0, 0)], [0.9])):
        assert (found.boxes.shape, found.labels.shape, found.scores.shape) == ((0, 4), (0,), (0,))
        assert (found.boxes.dtype, found.labels.dtype, found.scores.dtype) == (np.float32, np.int64, np.float32)
        assert not found.instance_ids.any()


def test_a_mask_inside_the_padding_alone_is_dropped() -> None:
    beside = sampler(64, 64, 'letterbox')
    found = paint([block(0, 16, 20, 32), block(0, 16, 0, 32)], [0.9, 0.8], at=beside)
    np.testing.assert_allclose(found.scores, [0.8])
    np.testing.assert_array_equal(found.boxes, [[0, 0, 64, 64]])


@pytest.mark.parametrize('resize', ['stretch', 'letterbox'])
@pytest.mark.parametrize('size', [(720, 1280), (375, 1242), (721, 1283), (50, 333), (64, 128), (9, 7), (1, 1)])
def test_agrees_with_enlarging_every_mask_to_the_whole_picture(size: tuple[int, int], resize: str) -> None:
    random = np.random.default_rng(sum(size))
    count = 30
    noise = random.normal(-1.0, 2.0, (count, 16, 32)).astype(np.float32)
    masks = [cv2.GaussianBlur(cells, (5, 5), 1.5) for cells in noise]
    scores = random.permutation(np.linspace(0.1, 0.9, count)).astype(np.float32)
    at = sampler(*size, resize)
    found = paint(masks, list(scores), at=at)

    naive = np.zeros(size, np.uint16)
    rows = []
    for row in np.argsort(-scores):
        own = (at.linear(masks[row]) > 0) & (naive == 0)
        if own.any():
            rows.append(row)
            naive[own] = len(rows)
    np.testing.assert_array_equal(found.scores, scores[rows])
    assert np.count_nonzero(found.instance_ids != naive) <= naive.size * 1e-5


def test_semantic_takes_the_nearest_cell_and_hides_ids_that_no_class_has() -> None:
    cells = np.zeros((16, 32), np.uint8)
    cells[:, 16:] = 3
    cells[0, 0], cells[15, 31] = 4, 200
    semantic = read_semantic(cells, sampler(128, 256), 4)
    assert (semantic[64, 127], semantic[64, 128]) == (0, 3)
    assert (semantic[0, 0], semantic[127, 255], semantic[8, 8]) == (255, 255, 0)
    assert semantic.dtype == np.uint8


def depth_cells(value: float = 10.0) -> Floats:
    return np.full((16, 32), value, np.float32)


def test_depth_is_scaled_and_smooth() -> None:
    cells = depth_cells()
    cells[:, 16:] = 20.0
    metres = read_depth(cells, sampler(), 1.5, 80.0, None)
    assert metres.dtype == np.float32
    assert metres[32, 10] == pytest.approx(15.0)
    assert metres[32, 120] == pytest.approx(30.0)
    assert 15.0 < metres[32, 63] < metres[32, 64] < 30.0


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 0.0, -5.0])
def test_depth_that_is_no_distance_becomes_nan(value: float) -> None:
    cells = depth_cells()
    cells[8, 16] = value
    metres = read_depth(cells, sampler(), 1.0, 80.0, None)
    assert np.isnan(metres[34, 66])
    assert metres[4, 4] == pytest.approx(10.0)
    assert not np.isinf(metres).any()


@pytest.mark.parametrize('scale', [0.3, 1.0, 1.7])
def test_metres_from_the_cap_on_are_infinite_whatever_the_camera(scale: float) -> None:
    cells = depth_cells(80.0 / scale)
    cells[:, :8] = 79.0 / scale
    metres = read_depth(cells, sampler(720, 1280), scale, 80.0, None)
    assert metres[360, 4] == pytest.approx(79.0)
    assert np.isposinf(metres[:, 400:]).all()


def test_sky_is_infinite_even_where_depth_is_invalid() -> None:
    sky = np.zeros((64, 128), bool)
    sky[:20] = True
    metres = read_depth(depth_cells(-1.0), sampler(), 1.0, 80.0, sky)
    assert np.isposinf(metres[:20]).all()
    assert np.isnan(metres[20:]).all()
