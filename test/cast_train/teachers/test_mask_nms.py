# SPDX-License-Identifier: Apache-2.0
"""Masks drawn by hand: what is the same thing twice, what is a part, who owns a pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cast_train.teachers.mask_nms import MaskNms, exclusive, kept_rows

PERSON, BUS = 1, 2
RULES = MaskNms()


def areas(*rectangles: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    """Masks of 10×20 pixels, each a rectangle x0 y0 x1 y1."""
    masks = np.zeros((len(rectangles), 10, 20), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, rectangles, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def labels(*classes: int) -> npt.NDArray[np.int64]:
    return np.array(classes, np.int64)


def test_things_apart_are_kept() -> None:
    assert kept_rows(areas((0, 0, 5, 5), (10, 0, 15, 5)), labels(PERSON, PERSON), RULES) == [0, 1]


def test_a_part_of_a_better_mask_of_its_class_goes() -> None:
    assert kept_rows(areas((0, 0, 10, 10), (2, 2, 4, 4)), labels(BUS, BUS), RULES) == [0]


def test_a_part_of_another_class_stays_and_takes_its_pixels() -> None:
    masks, classes = areas((0, 0, 10, 10), (2, 2, 4, 4)), labels(BUS, PERSON)
    assert kept_rows(masks, classes, RULES) == [0, 1]
    owned = exclusive(masks, classes, RULES.containment)
    assert owned[1].sum() == 4
    assert owned[0].sum() == 96
    assert not (owned[0] & owned[1]).any()


def test_a_better_part_keeps_its_pixels_too() -> None:
    masks, classes = areas((2, 2, 4, 4), (0, 0, 10, 10)), labels(PERSON, BUS)
    assert [int(mask.sum()) for mask in exclusive(masks, classes, RULES.containment)] == [4, 96]


def test_a_box_around_a_group_goes_when_its_members_are_there() -> None:
    masks = areas((0, 0, 5, 10), (5, 0, 9, 10), (0, 0, 10, 10))
    assert kept_rows(masks, labels(PERSON, PERSON, PERSON), RULES) == [0, 1]
    # Neither member alone covers enough of it.
    assert kept_rows(masks[[0, 2]], labels(PERSON, PERSON), RULES) == [0, 1]


def test_a_larger_mask_of_the_same_thing_goes_by_overlap() -> None:
    masks = areas((0, 0, 7, 10), (0, 0, 10, 10))
    assert kept_rows(masks, labels(PERSON, PERSON), RULES) == [0]
    assert kept_rows(masks, labels(PERSON, PERSON), MaskNms(iou=0.75)) == [0, 1]


def test_one_thing_under_two_names_keeps_the_better_name() -> None:
    masks = areas((0, 0, 10, 9), (0, 0, 10, 10))
    assert kept_rows(masks, labels(BUS, PERSON), RULES) == [0]
    assert kept_rows(masks, labels(BUS, PERSON), MaskNms(duplicate=0.95)) == [0, 1]


def test_dropped_masks_suppress_nobody() -> None:
    # The second is part of the first and goes; the third lies in the second's place of another class, but not in it.
    masks = areas((0, 0, 10, 10), (8, 0, 10, 10), (9, 0, 16, 10))
    assert kept_rows(masks, labels(BUS, BUS, BUS), RULES) == [0, 2]


def test_empty_masks_go() -> None:
    assert kept_rows(areas((0, 0, 0, 0), (0, 0, 2, 2), (5, 5, 5, 9)), labels(BUS, BUS, BUS), RULES) == [1]


def test_no_masks_are_no_trouble() -> None:
    assert kept_rows(areas(), labels(), RULES) == []
    assert exclusive(areas(), labels(), RULES.containment).shape == (0, 10, 20)


def test_contested_pixels_go_to_the_better_mask() -> None:
    owned = exclusive(areas((0, 0, 6, 10), (4, 0, 10, 10)), labels(PERSON, BUS), RULES.containment)
    assert [int(mask.sum()) for mask in owned] == [60, 40]


def test_no_pixel_of_many_masks_is_lost_or_owned_twice() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = [(x, y, x + w, y + h) for x, y, w, h in rng.integers([0, 0, 1, 1], [15, 8, 12, 8], (12, 4))]
        masks, classes = areas(*corners), rng.integers(0, 3, 12)
        owned = exclusive(masks, classes, RULES.containment)
        assert (owned.sum(0) == masks.any(0)).all()
        assert (owned <= masks).all()
