# SPDX-License-Identifier: Apache-2.0
"""Rare-class sampling."""

from __future__ import annotations

import numpy as np
import pytest

from cast_train.data import Sample
from cast_train.data.batches import draw
from cast_train.errors import DataError
from cast_train.methods.famda.stages import rare_class_chances


def sample(*shares: int) -> Sample:
    """A picture of 100 pixels, so many of each class; the rest is unlabelled."""
    semantic = np.full(100, 255, np.uint8)
    semantic[: sum(shares)] = np.repeat(np.arange(len(shares)), shares)
    return Sample('a', np.zeros((10, 10, 3), np.uint8), semantic=semantic.reshape(10, 10))


def test_a_picture_with_a_rare_class_comes_as_often_as_that_class_is_drawn() -> None:
    samples = [sample(90), sample(90), sample(90), sample(80, 10)]
    chances = rare_class_chances(samples, 2, temperature=0.5, least_share=0.01)
    frequency = np.array([350, 10]) / 360
    of_class = np.exp((1 - frequency) / 0.5)
    of_class /= of_class.sum()
    assert chances == pytest.approx([of_class[0] / 4] * 3 + [of_class[0] / 4 + of_class[1]])
    assert chances.sum() == pytest.approx(1)


def test_a_low_temperature_draws_almost_only_the_rarest_class() -> None:
    chances = rare_class_chances([sample(90), sample(80, 10)], 2, temperature=0.01, least_share=0.01)
    assert chances[1] > 0.999


def test_specks_and_unlabelled_pixels_do_not_count() -> None:
    chances = rare_class_chances([sample(50), sample(50, 1)], 2, temperature=0.1, least_share=0.05)
    assert chances == pytest.approx([0.5, 0.5])


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(DataError, match='b: rare-class sampling needs semantic maps'):
        rare_class_chances([Sample('b', np.zeros((10, 10, 3), np.uint8))], 2, 0.1, 0.01)
    with pytest.raises(DataError, match='no picture has a class'):
        rare_class_chances([sample(1)], 2, 0.1, 0.5)


def test_draws_follow_the_chances_whatever_came_before() -> None:
    chances = np.array([0.7, 0.0, 0.3])
    drawn = [draw(position, chances, seed=3) for position in range(3000)]
    assert drawn == [draw(position, chances, seed=3) for position in range(3000)]
    assert np.bincount(drawn, minlength=3) / 3000 == pytest.approx(chances, abs=0.03)
