# SPDX-License-Identifier: Apache-2.0
"""Class-agnostic masks: coded, ordered, cropped."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cast_train.data.segments import Segments


def squares(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    masks = np.zeros((len(boxes), 20, 30), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def test_large_masks_come_first_with_tight_boxes_and_empty_ones_are_left_out() -> None:
    segments = Segments.of_masks(squares((2, 3, 6, 7), (0, 0, 0, 0), (1, 1, 20, 15)))
    assert len(segments) == 2
    assert segments.boxes.tolist() == [[1, 1, 20, 15], [2, 3, 6, 7]]


@given(seed=st.integers(0, 1000), top=st.integers(0, 10), left=st.integers(0, 10))
@settings(max_examples=50, deadline=None)
def test_a_crop_holds_the_pixels_of_the_masks_there(seed: int, top: int, left: int) -> None:
    masks = np.random.default_rng(seed).random((4, 20, 30)) < 0.05
    order = np.argsort(-masks.sum((1, 2)), kind='stable')
    part = masks[order, top : top + 8, left : left + 12]
    found = Segments.of_masks(masks).crop(top, left, 8, 12)
    assert np.array_equal(found, part[part.any((1, 2))])


def test_nothing_in_the_crop_is_an_empty_stack() -> None:
    segments = Segments.of_masks(squares((0, 0, 4, 4)))
    assert segments.crop(10, 10, 5, 6).shape == (0, 5, 6)
    assert Segments.of_masks(np.zeros((0, 20, 30), bool)).crop(0, 0, 20, 30).shape == (0, 20, 30)
