# SPDX-License-Identifier: Apache-2.0
"""How sure a difference between two students is, from the pictures both have answered.

The pictures of a drive resemble their neighbours. Drawn one by one they would pass for more evidence than they are, so
blocks of consecutive pictures are drawn: the moving-block bootstrap (Künsch 1989; Liu and Singh 1992).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.scores import Result

LEAST_BLOCKS = 4
CONFIDENCE = 0.95

Frames = TypeVar('Frames', bound=Sized)


@dataclass(frozen=True)
class Interval(Result):
    """A difference and where 95 % of its resamples lie.

    Attributes:
        difference: statistic of b minus that of a, over all pictures once.
        low: 2.5th percentile of the difference over the resamples.
        high: 97.5th percentile.
        resamples: resamples in which both statistics were defined.
        block_length: pictures of a block that were drawn together.
    """

    difference: float
    low: float
    high: float
    resamples: int
    block_length: int


def paired_bootstrap(
    statistic: Callable[[Frames, npt.NDArray[np.int64]], float | None],
    frames_a: Frames,
    frames_b: Frames,
    resamples: int = 1000,
    seed: int = 0,
    block_length: int = 10,
) -> Interval | None:
    """Compare b with a on the same pictures; the same arguments give the same interval.

    Args:
        statistic: of the pictures and (F,) how often each counts: `MatchedFrames.ap`, `mean_iou`, `mean_depth_error`.
        frames_a: what the statistic takes, one entry a picture, in the order of recording.
        frames_b: the same pictures in the same order.
        resamples: how often to draw.
        seed: of the draws.
        block_length: pictures that are drawn together. A drive too short for four such blocks has shorter ones:
            one or two blocks would always draw the same pictures, and the interval would look far too narrow.

    Returns:
        None where the statistic of one side is undefined on all pictures, or on every resample.

    Raises:
        MetricError: the two sides differ in length, are too short, or a number is not positive.
    """
    frames = len(frames_a)
    if len(frames_b) != frames:
        raise MetricError(f'paired pictures are needed, one side has {frames} and the other {len(frames_b)}')
    if frames < 2:
        raise MetricError(f'a bootstrap needs at least 2 pictures, there are {frames}')
    if resamples < 1 or block_length < 1:
        raise MetricError(f'resamples and block length must be positive, are {resamples} and {block_length}')
    length = min(block_length, max(1, frames // LEAST_BLOCKS))
    difference = _difference(statistic, frames_a, frames_b, np.ones(frames, np.int64))
    if difference is None:
        return None
    drawn = [
        value
        for counts in block_counts(frames, length, resamples, seed)
        if (value := _difference(statistic, frames_a, frames_b, counts)) is not None
    ]
    if not drawn:
        return None
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(difference, float(low), float(high), len(drawn), length)


def block_counts(frames: int, block_length: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """(F,) how often each picture was drawn, once a resample: overlapping blocks, as many pictures as there are."""
    rng = np.random.default_rng(seed)
    blocks = -(-frames // block_length)
    for _ in range(resamples):
        starts = rng.integers(0, frames - block_length + 1, blocks)
        indices = (starts[:, None] + np.arange(block_length)).ravel()[:frames]
        yield np.bincount(indices, minlength=frames)


def _difference(
    statistic: Callable[[Frames, npt.NDArray[np.int64]], float | None],
    frames_a: Frames,
    frames_b: Frames,
    counts: npt.NDArray[np.int64],
) -> float | None:
    one, other = statistic(frames_a, counts), statistic(frames_b, counts)
    return None if one is None or other is None else other - one
