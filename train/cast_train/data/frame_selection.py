# SPDX-License-Identifier: Apache-2.0
"""Which pictures of a recording are worth learning from.

Every filter compares a frame with its own recording, so that a night is not thrown away for being dark: a frame is
blurred when it is much less sharp than its neighbours, and a duplicate when it shows what the last kept one showed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from cast_train.settings import Positive, Settings, Share, Weight

NANOSECONDS = 1_000_000_000
SHARPNESS_WIDTH_PX = 640
THUMBNAIL_PX = (32, 24)
BRIGHT, DARK = 250, 5
# Frames on either side whose sharpness is the yardstick: some seconds, in which the scene is still of one kind.
NEIGHBOURS = 50
# A step of the clock of `moving_time_ns` is never longer: nobody knows whether the robot moved while nothing was seen.
LONGEST_STEP_NS = NANOSECONDS


class SelectionRules(Settings):
    """When a frame is dropped.

    Attributes:
        blur_below: sharpness ÷ median sharpness of the neighbours under which a frame is blurred; 0 keeps all.
        bright_above: share of pixels at 250 to 255 over which a frame is over-exposed; 1 keeps all.
        dark_above: share of pixels at 0 to 5 over which a frame is under-exposed; 1 keeps all.
        duplicate_below: mean absolute difference of grey values to the last kept frame, 0..255; 0 keeps all.
        rate_hz: frames a second at most, on average; None for all.
        limit: number of frames at most, the first ones; None for all.
    """

    blur_below: Share = 0.3
    bright_above: Share = 0.5
    dark_above: Share = 0.9
    duplicate_below: Weight = 1.5
    rate_hz: Annotated[float, Field(gt=0)] | None = None
    limit: Positive | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    """What the filters need of one picture.

    Attributes:
        stamp_ns: header stamp.
        sharpness: see ``measure``.
        bright: share of pixels at 250 to 255.
        dark: share of pixels at 0 to 5.
        thumbnail: 24×32 uint8 grey.
    """

    stamp_ns: int
    sharpness: float
    bright: float
    dark: float
    thumbnail: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Selection:
    """Which frames stay.

    Attributes:
        kept: indices, ascending in stamps.
        clock_ns: of each kept frame, how long the picture had been changing until then.
        dropped: reason to number of frames, in the order of the filters.
    """

    kept: list[int]
    clock_ns: list[int]
    dropped: dict[str, int]


def measure(rgb: npt.NDArray[np.uint8], stamp_ns: int) -> Measurement:
    """Measure an H×W×3 RGB picture.

    Sharpness is the variance of the Laplacian ÷ the mean squared gradient (Sobel) of the grey picture, shrunk to a
    width of at most 640 pixels. The variance alone grows with the square of the contrast and so with the scene and the
    hour; the quotient does not change with contrast, and is a third or less when the finest details are gone.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    shrunk = grey
    if width > SHARPNESS_WIDTH_PX:
        size = SHARPNESS_WIDTH_PX, max(1, round(height * SHARPNESS_WIDTH_PX / width))
        shrunk = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    across, down = (cv2.Sobel(shrunk, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    gradient = float(np.mean(across**2 + down**2))
    return Measurement(
        stamp_ns=stamp_ns,
        sharpness=float(cv2.Laplacian(shrunk, cv2.CV_32F).var()) / gradient if gradient > 0 else 0.0,
        bright=float(np.mean(grey >= BRIGHT)),
        dark=float(np.mean(grey <= DARK)),
        thumbnail=np.asarray(cv2.resize(grey, THUMBNAIL_PX, interpolation=cv2.INTER_AREA), np.uint8),
    )


def select(frames: Sequence[Measurement], rules: SelectionRules) -> Selection:
    """Apply all filters, one after the other; frames are in the order of recording."""
    left = list(range(len(frames)))
    states = {}
    dropped = {}
    for reason, remaining in FILTERS.items():
        states[reason] = left
        left = remaining(frames, left, rules)
        dropped[reason] = len(states[reason]) - len(left)
    clock = moving_time_ns(frames, states['near_duplicate'], states['rate'])
    return Selection(left, [clock[index] for index in left], dropped)


def moving_time_ns(frames: Sequence[Measurement], seen: Sequence[int], changed: Sequence[int]) -> dict[int, int]:
    """A clock that stands still while the picture does, so that half an hour at a kerb keeps no two scenes apart.

    Args:
        frames: all frames.
        seen: indices of those that can be judged.
        changed: indices of those among them that are no near-duplicates.

    Returns:
        Index to nanoseconds, for the changed ones. A step counts as one second at most.
    """
    moving, clock, now = set(changed), dict[int, int](), 0
    for place, index in enumerate(seen):
        if index in moving:
            if place:
                now += min(LONGEST_STEP_NS, frames[index].stamp_ns - frames[seen[place - 1]].stamp_ns)
            clock[index] = now
    return clock


def _ascending(frames: Sequence[Measurement], left: list[int], _: SelectionRules) -> list[int]:
    """The longest run of strictly ascending stamps: one stray stamp, early or late, costs one frame and no others."""
    last_stamps: list[int] = []
    last_places: list[int] = []
    before: list[int] = []
    for place, index in enumerate(left):
        length = bisect_left(last_stamps, frames[index].stamp_ns)
        before.append(last_places[length - 1] if length else -1)
        last_stamps[length : length + 1] = [frames[index].stamp_ns]
        last_places[length : length + 1] = [place]
    run = []
    place = last_places[-1] if last_places else -1
    while place >= 0:
        run.append(left[place])
        place = before[place]
    return run[::-1]


def _not_bright(frames: Sequence[Measurement], left: list[int], rules: SelectionRules) -> list[int]:
    return [index for index in left if frames[index].bright <= rules.bright_above]


def _not_dark(frames: Sequence[Measurement], left: list[int], rules: SelectionRules) -> list[int]:
    return [index for index in left if frames[index].dark <= rules.dark_above]


def _sharp(frames: Sequence[Measurement], left: list[int], rules: SelectionRules) -> list[int]:
    sharpness = np.array([frames[index].sharpness for index in left])
    usual = (np.median(sharpness[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]) for place in range(len(left)))
    return [
        index
        for index, own, around in zip(left, sharpness, usual, strict=True)
        if own >= rules.blur_below * float(around)
    ]


def _different(frames: Sequence[Measurement], left: list[int], rules: SelectionRules) -> list[int]:
    kept: list[int] = []
    for index in left:
        now = frames[index].thumbnail.astype(np.int16)
        if not kept or np.abs(now - frames[kept[-1]].thumbnail).mean() >= rules.duplicate_below:
            kept.append(index)
    return kept


def _thinned(frames: Sequence[Measurement], left: list[int], rules: SelectionRules) -> list[int]:
    """The first frame of each period; periods begin a quarter early, so that jitter does not skip any."""
    if rules.rate_hz is None:
        return left
    first_of: dict[int, int] = {}
    for index in left:
        elapsed_s = (frames[index].stamp_ns - frames[left[0]].stamp_ns) / NANOSECONDS
        first_of.setdefault(int(elapsed_s * rules.rate_hz + 0.25), index)
    return list(first_of.values())


def _first(_: Sequence[Measurement], left: list[int], rules: SelectionRules) -> list[int]:
    return left[: rules.limit]


FILTERS: dict[str, Callable[[Sequence[Measurement], list[int], SelectionRules], list[int]]] = {
    'stamp_not_later': _ascending,
    'over_exposed': _not_bright,
    'under_exposed': _not_dark,
    'blurred': _sharp,
    'near_duplicate': _different,
    'rate': _thinned,
    'limit': _first,
}
"""In the order of their use: what cannot be judged must not become a yardstick for what can."""
