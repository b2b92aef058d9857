# SPDX-License-Identifier: Apache-2.0
"""Divides a recording in time, so that pictures of training and of validation never show the same scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cast_train.errors import DataError
from cast_train.settings import Settings, Share, Weight

NANOSECONDS = 1_000_000_000
FEW_BLOCKS = 5
SHORTEST_BLOCK_S = 0.5
LONGEST_USUAL_GUARD_S = 1.0


class BlockRules(Settings):
    """How a recording is divided.

    Attributes:
        val: share of the blocks that validate.
        block_s: length of a block; a recording too short for five of them gets shorter ones, down to half a second.
        guard_s: time that is left out between neighbouring blocks; None for one second, but at most a fifth of a block.
    """

    val: Share = 0.2
    block_s: Annotated[float, Field(gt=0)] = 10.0
    guard_s: Weight | None = None


@dataclass(frozen=True)
class Blocks:
    """A divided recording.

    Attributes:
        of_frame: number of each frame's block, None in a guard gap.
        val: numbers of the blocks that validate.
    """

    of_frame: list[int | None]
    val: frozenset[int]


def divide(clock_ns: Sequence[int], rules: BlockRules) -> Blocks:
    """Divide frames into blocks of equal length.

    Args:
        clock_ns: ascending, when each frame was taken.
        rules: as the user asks.

    Raises:
        DataError: the guard gaps would leave nothing.
    """
    span_ns = clock_ns[-1] - clock_ns[0] if clock_ns else 0
    span_s = span_ns / NANOSECONDS
    count = max(1, round(span_s / rules.block_s), min(FEW_BLOCKS, int(span_s / SHORTEST_BLOCK_S)))
    block_s = span_s / count
    guard_s = min(LONGEST_USUAL_GUARD_S, block_s / 5) if rules.guard_s is None else rules.guard_s
    if count > 1 and guard_s >= block_s:
        raise DataError(
            f'a guard of {guard_s:g} s leaves nothing of blocks of {block_s:.3g} s; '
            'shorten --guard-s or lengthen --block-s'
        )
    half_guard_ns = round(guard_s * NANOSECONDS / 2)
    # In units of 1/count nanoseconds every border is a whole number: no rounding, the same on every machine.
    of_frame: list[int | None] = []
    for moment_ns in clock_ns:
        block, inside = divmod((moment_ns - clock_ns[0]) * count, max(1, span_ns))
        if block == count:  # the last frame stands on the end of the last block
            block, inside = count - 1, span_ns
        from_start, to_end = inside, span_ns - inside
        in_guard = (block > 0 and from_start < half_guard_ns * count) or (
            block < count - 1 and to_end <= half_guard_ns * count
        )
        of_frame.append(None if in_guard else block)
    return Blocks(of_frame, validating(count, rules.val))


def validating(count: int, share: float) -> frozenset[int]:
    """Which of ``count`` blocks validate: spread evenly; with a share between 0 and 1 at least one, and never all.

    A single block cannot be divided and is then for training.
    """
    if share in (0, 1):
        return frozenset(range(count) if share else ())
    wanted = min(count - 1, max(1, round(share * count)))
    return frozenset((2 * place + 1) * count // (2 * wanted) for place in range(wanted))
