# SPDX-License-Identifier: Apache-2.0
"""Which of sixteen bits are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from cast_ros.images.sixteen_bits import SixteenBits


@pytest.mark.parametrize(
    ('brightest', 'used'), [(700, 10), (1023, 10), (1024, 12), (4095, 12), (16_000, 14), (16_384, 16)]
)
def test_auto_takes_the_sensor_that_the_brightest_value_fits(brightest: int, used: int) -> None:
    bits = SixteenBits()
    narrow = bits.narrowed(np.array([[0, brightest]], np.uint16))
    assert (bits.used, narrow.tolist()) == (used, [[0, brightest >> (used - 8)]])
    assert str(bits) == f'auto: {used} bits'


def test_a_dark_picture_stays_dark_after_a_bright_one() -> None:
    bits = SixteenBits()
    bits.narrowed(np.array([[4000]], np.uint16))
    assert bits.narrowed(np.array([[100]], np.uint16)).tolist() == [[100 >> 4]]


@pytest.mark.parametrize(('range_', 'expected'), [('full', [0, 15, 255]), ('16', [0, 15, 255]), ('12', [0, 255, 255])])
def test_a_told_range_is_believed_and_what_lies_above_is_white(range_: str, expected: list[int]) -> None:
    assert SixteenBits(range_).narrowed(np.array([0, 4095, 65_535], np.uint16)).tolist() == expected
