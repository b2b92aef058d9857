# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cast_ros.overlay import colorize_depth, contact_sheet, draw_overlay, instance_colors
from cast_ros.overlay.text import put_text, text_mask
from cast_ros.student import ClassInfo, DepthSpec, InputSpec, Prediction, StudentContract

HEIGHT, WIDTH = 128, 256
CONTRACT = StudentContract(
    name='tiny',
    version='1',
    license='Apache-2.0',
    input=InputSpec(height=64, width=128),
    classes=(
        ClassInfo(id=0, name='road', is_thing=False, color=(200, 40, 40)),
        ClassInfo(id=1, name='person', is_thing=True, color=(220, 20, 60)),
        ClassInfo(id=2, name='car', is_thing=True, color=(0, 0, 142)),
    ),
    outputs=('scores', 'labels', 'masks', 'semantic', 'depth'),
    depth=DepthSpec(cap_m=80.0, focal_reference_px=100.0),
)


def grey(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def prediction(boxes: list[tuple[int, int, int, int]], labels: list[int], **changes: Any) -> Prediction:
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    for row, (x0, y0, x1, y1) in enumerate(boxes):
        ids[y0:y1, x0:x1] = row + 1
    values: dict[str, Any] = {
        'boxes': np.array(boxes, np.float32).reshape(-1, 4),
        'labels': np.array(labels, np.int64),
        'scores': np.linspace(0.9, 0.5, len(boxes)).astype(np.float32),
        'instance_ids': ids,
        'semantic': np.full((HEIGHT, WIDTH), 255, np.uint8),
        'depth': np.full((HEIGHT, WIDTH), 12.0, np.float32),
    }
    return Prediction(HEIGHT, WIDTH, HEIGHT, WIDTH, **{**values, **changes})


def test_colour_lies_inside_the_mask_and_nowhere_else() -> None:
    picture = draw_overlay(grey(), prediction([(100, 40, 160, 100)], [2]), CONTRACT)
    changed = (picture != 100).any(axis=-1)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    assert changed[41:99, 101:159].all()
    # Only the label (above the box) may lie outside; the contour is a pixel wide and smoothed.
    assert not changed[:, :97].any()
    assert not changed[104:].any()


def test_an_instance_at_the_edge_of_a_picture_much_smaller_than_its_prediction_keeps_a_pixel() -> None:
    found = prediction([(WIDTH - 3, HEIGHT - 3, WIDTH, HEIGHT)], [2])
    picture = draw_overlay(grey(HEIGHT // 8, WIDTH // 8), found, CONTRACT)
    assert np.argwhere((picture != 100).any(axis=-1)).max(axis=0).tolist() == [HEIGHT // 8 - 1, WIDTH // 8 - 1]


def test_the_given_picture_is_not_drawn_on() -> None:
    rgb = grey()
    draw_overlay(rgb, prediction([(10, 10, 90, 90)], [1]), CONTRACT)
    assert (rgb == 100).all()


def test_a_read_only_picture_is_fine() -> None:
    rgb = grey()
    rgb.flags.writeable = False
    draw_overlay(rgb, prediction([(10, 10, 90, 90)], [1]), CONTRACT)


def test_output_is_bgr() -> None:
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[...] = (250, 10, 20)
    assert draw_overlay(rgb, prediction([], []), CONTRACT)[0, 0].tolist() == [20, 10, 250]


def test_alpha_decides_how_much_of_the_picture_remains() -> None:
    box = [(20, 20, 220, 120)]
    faint = draw_overlay(grey(), prediction(box, [2]), CONTRACT, alpha=0.1)[100, 120].astype(int)
    strong = draw_overlay(grey(), prediction(box, [2]), CONTRACT, alpha=0.9)[100, 120].astype(int)
    assert np.abs(faint - 100).max() < 20
    assert np.abs(strong - 100).max() > 80


def test_stuff_is_tinted_with_the_contract_colour_and_things_are_not() -> None:
    semantic = np.full((HEIGHT, WIDTH), 255, np.uint8)
    semantic[:, :100] = 0
    semantic[:, 200:] = 1
    picture = draw_overlay(grey(), prediction([], [], semantic=semantic), CONTRACT)
    blue, green, red = picture[5, 5].astype(int)
    assert red > 110
    assert blue < 95
    assert green < 95
    assert (picture[:, 101:] == 100).all()


@pytest.mark.parametrize('missing', ['instance_ids', 'semantic', 'depth'])
def test_a_missing_head_is_not_drawn(missing: str) -> None:
    changes: dict[str, Any] = {missing: None}
    if missing == 'instance_ids':
        changes |= {'boxes': None, 'labels': None, 'scores': None}
    picture = draw_overlay(grey(), replace(prediction([(20, 20, 220, 120)], [2]), **changes), CONTRACT)
    assert ((picture == 100).all()) == (missing == 'instance_ids')


@pytest.mark.parametrize('depth', [np.nan, np.inf])
def test_an_instance_without_a_distance_has_a_shorter_label(depth: float) -> None:
    unmeasured = np.full((HEIGHT, WIDTH), depth, np.float32)
    with_distance = draw_overlay(grey(), prediction([(20, 60, 120, 120)], [2]), CONTRACT)
    without = draw_overlay(grey(), prediction([(20, 60, 120, 120)], [2], depth=unmeasured), CONTRACT)
    assert (without[:60] != 100).any(axis=-1).sum() < (with_distance[:60] != 100).any(axis=-1).sum()


def test_scores_can_be_left_out() -> None:
    shown = draw_overlay(grey(), prediction([(20, 60, 120, 120)], [2]), CONTRACT)
    hidden = draw_overlay(grey(), prediction([(20, 60, 120, 120)], [2]), CONTRACT, show_scores=False)
    assert (hidden[:60] != 100).any(axis=-1).sum() < (shown[:60] != 100).any(axis=-1).sum()


def test_tiny_instances_get_colour_but_no_label() -> None:
    picture = draw_overlay(grey(), prediction([(100, 60, 105, 65)], [1]), CONTRACT)
    assert 25 <= (picture != 100).any(axis=-1).sum() < 100


def test_maps_of_the_network_are_stretched_over_a_larger_picture() -> None:
    small = prediction([(64, 32, 128, 96)], [2])
    picture = draw_overlay(grey(2 * HEIGHT, 2 * WIDTH), small, CONTRACT)
    assert picture.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert (picture[70:190, 132:252] != 100).any(axis=-1).all()
    assert (picture[195:] == 100).all()


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (17, 400), (719, 1279)])
def test_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    height, width = size
    ids = np.ones(size, np.uint16)
    whole = Prediction(
        height,
        width,
        height,
        width,
        boxes=np.array([[0, 0, width, height]], np.float32),
        labels=np.array([1]),
        scores=np.array([0.5], np.float32),
        instance_ids=ids,
        semantic=np.zeros(size, np.uint8),
        depth=np.ones(size, np.float32),
    )
    assert draw_overlay(grey(height, width), whole, CONTRACT).shape == (height, width, 3)


def test_boxes_that_reach_outside_and_rows_without_pixels_are_survived() -> None:
    odd = prediction([(0, 0, 40, 40), (50, 50, 60, 60)], [1, 2])
    boxes = np.array([[-30, -9, 300, 900], [50, 50, 60, 60]], np.float32)
    ids = np.where(odd.instance_ids == 2, 0, odd.instance_ids).astype(np.uint16)
    picture = draw_overlay(grey(), replace(odd, boxes=boxes, instance_ids=ids), CONTRACT)
    assert (picture[:40, :40] != 100).any()


def test_a_hundred_crowded_instances_do_not_hide_each_others_labels() -> None:
    boxes = [(x, y, x + 24, y + 12) for y in range(0, 120, 12) for x in range(0, 240, 24)]
    assert draw_overlay(grey(), prediction(boxes, [1] * len(boxes)), CONTRACT).shape == (HEIGHT, WIDTH, 3)


def test_neighbours_of_one_class_differ_and_the_class_stays_recognisable() -> None:
    boxes = np.array([[k * 20, 0, k * 20 + 10, 10] for k in range(5)], np.float32)
    colors = instance_colors(np.array([1, 1, 1, 2, 2]), boxes, CONTRACT)
    assert len(set(colors)) == 5
    persons, cars = colors[:3], colors[3:]
    assert all(red > blue for blue, _, red in persons)
    assert all(blue > red for blue, _, red in cars)


def test_colours_do_not_depend_on_the_order_of_scores() -> None:
    boxes = np.array([[0, 0, 10, 10], [40, 0, 50, 10]], np.float32)
    first = instance_colors(np.array([1, 2]), boxes, CONTRACT)
    second = instance_colors(np.array([2, 1]), boxes[::-1], CONTRACT)
    assert first == second[::-1]


def test_depth_is_brighter_when_nearer_and_marks_what_is_no_number() -> None:
    depth = np.array([[1.0, 5.0, 20.0, 79.0, np.nan, np.inf, 500.0]], np.float32)
    picture = colorize_depth(depth, cap_m=80.0).astype(int)[0]
    brightness = picture.sum(axis=-1)
    assert (np.diff(brightness[:4]) < 0).all()
    assert picture[4].tolist() == [110, 110, 110]
    assert picture[5].tolist() not in picture[[0, 1, 2, 3, 4, 6]].tolist()


@pytest.mark.parametrize('cap_m', [0.5, 3.0, 1000.0])
def test_any_cap_gives_a_picture(cap_m: float) -> None:
    assert colorize_depth(np.full((2, 3), cap_m / 3, np.float32), cap_m).shape == (2, 3, 3)


def test_a_sheet_has_its_width_and_holds_its_pictures() -> None:
    red, blue = np.zeros((50, 100, 3), np.uint8), np.zeros((80, 60, 3), np.uint8)
    red[..., 2], blue[..., 0] = 255, 255
    sheet = contact_sheet([[red, blue], [blue, red]], 'title', ['one', 'two'], ['a figure'] * 30, width_px=600)
    assert sheet.shape[1:] == (600, 3)
    assert (sheet == [0, 0, 255]).all(axis=-1).sum() > 2 * 200 * 100
    assert (sheet == [255, 0, 0]).all(axis=-1).sum() > 2 * 200 * 200


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match='at least one picture'):
        contact_sheet([])


def test_text_is_cut_at_the_border_and_smooth() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    put_text(picture, 'person 0.87', -5, -3, 14, (255, 255, 255))
    put_text(picture, 'far away', 500, 500, 14, (255, 255, 255))
    assert (picture > 0).any()
    mask = text_mask('person', 12)
    assert ((mask > 20) & (mask < 235)).any()
