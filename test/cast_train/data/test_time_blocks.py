# SPDX-License-Identifier: Apache-2.0
"""No scene in two splits, whatever the length of the recording."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cast_train.data.time_blocks import BlockRules, divide, validating
from cast_train.errors import DataError

SECOND = 1_000_000_000


def clock(seconds: float, rate_hz: int = 10) -> list[int]:
    return [index * SECOND // rate_hz for index in range(int(seconds * rate_hz) + 1)]


def test_a_hundred_seconds_are_ten_blocks_of_which_two_validate() -> None:
    blocks = divide(clock(100), BlockRules())
    assert {block for block in blocks.of_frame if block is not None} == set(range(10))
    assert blocks.val == {2, 7}


def test_a_second_lies_between_neighbouring_blocks() -> None:
    moments = clock(100)
    blocks = divide(moments, BlockRules())
    kept = [(moment, block) for moment, block in zip(moments, blocks.of_frame, strict=True) if block is not None]
    borders = [(later - earlier) for (earlier, one), (later, other) in pairwise(kept) if one != other]
    assert len(borders) == 9
    assert all(SECOND <= gap <= 1.2 * SECOND for gap in borders)


@pytest.mark.parametrize(('seconds', 'count'), [(4, 5), (1.2, 2), (0.4, 1), (0, 1), (30, 5), (200, 20)])
def test_a_short_recording_has_shorter_or_fewer_blocks(seconds: float, count: int) -> None:
    found = divide(clock(seconds), BlockRules(guard_s=0))
    assert {block for block in found.of_frame if block is not None} == set(range(count))
    assert len(found.val) == (0 if count == 1 else max(1, round(0.2 * count)))


def test_nothing_at_all_divides_into_nothing() -> None:
    assert divide([], BlockRules()).of_frame == []


def test_without_a_guard_no_frame_is_lost() -> None:
    assert None not in divide(clock(55), BlockRules(guard_s=0)).of_frame


def test_a_guard_as_long_as_the_blocks_is_refused() -> None:
    with pytest.raises(DataError, match='guard of 10 s leaves nothing of blocks of 10 s'):
        divide(clock(100), BlockRules(guard_s=10))


@pytest.mark.parametrize(
    ('count', 'share', 'val'),
    [(5, 0, set()), (5, 1, {0, 1, 2, 3, 4}), (1, 0.2, set()), (2, 0.01, {1}), (2, 0.99, {1}), (5, 0.2, {2})],
)
def test_which_blocks_validate(count: int, share: float, val: set[int]) -> None:
    assert validating(count, share) == val


@given(
    steps=st.lists(st.integers(1, 2 * SECOND), max_size=200),
    val=st.floats(0, 1),
    block_s=st.floats(0.1, 60),
    guard_s=st.none() | st.floats(0, 0.05),
)
def test_frames_of_two_blocks_are_always_a_guard_apart(
    steps: list[int], val: float, block_s: float, guard_s: float | None
) -> None:
    moments = [0]
    for step in steps:
        moments.append(moments[-1] + step)
    rules = BlockRules(val=val, block_s=block_s, guard_s=guard_s)
    blocks = divide(moments, rules)
    kept = [(moment, block) for moment, block in zip(moments, blocks.of_frame, strict=True) if block is not None]
    assert [block for _, block in kept] == sorted(block for _, block in kept)
    for (earlier, one), (later, other) in pairwise(kept):
        if one != other:
            assert later - earlier >= round((guard_s or 0) * SECOND / 2) * 2
