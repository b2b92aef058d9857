# SPDX-License-Identifier: Apache-2.0
"""Which scenes and views make up the shared set, and which views any other seed gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cast_train.data.streets.scene import Scene
from cast_train.data.streets.views import VIEW_DISTANCE_M, RenderedFrame, drive, standing_views
from cast_train.errors import DataError

DOMAINS = ('day', 'night')
FIRST_RESERVED_SEED = 900_000  # kept for tests that nobody may train on


@dataclass(frozen=True)
class Part:
    """Scenes of one split and domain: ``views`` standing views each, or a drive of ``drive_frames``."""

    seeds: range
    views: int = 2
    drive_frames: int = 0


PARTS: Mapping[tuple[str, str], Part] = {
    ('train', 'day'): Part(range(250)),
    ('train', 'night'): Part(range(2000, 2150)),
    ('val', 'day'): Part(range(5000, 5032)),
    ('val', 'night'): Part(range(6000, 6032)),
    ('drive', 'day'): Part(range(7000, 7001), drive_frames=40),
    ('drive', 'night'): Part(range(7000, 7001), drive_frames=40),
    ('foundation', 'day'): Part(range(3000, 3040)),
    ('foundation', 'night'): Part(range(3000, 3040)),
}
SPLITS = tuple(dict.fromkeys(split for split, _ in PARTS))

# The first scenes of the shared set were made before there was a search for a free view: their second view stands 9 m
# along, and is absent where it would show little but a vehicle. Both facts are needed to make the same set again.
FIXED_VIEW_SEEDS = {
    ('train', 'day'): range(100),
    ('train', 'night'): range(2000, 2050),
    ('val', 'day'): range(5000, 5020),
    ('val', 'night'): range(6000, 6020),
}
_ONE_VIEW_SEEDS = """
0 2 5 8 9 11 13 14 15 16 18 21 22 23 24 29 30 31 32 34 35 38 39 40 43 45 46 47 48 49 50 51 53 54 55 56 57 59 61 63 65
66 67 70 73 75 76 77 81 82 83 84 85 86 89 90 95 99
2001 2002 2003 2005 2006 2008 2009 2010 2011 2012 2013 2015 2016 2020 2021 2022 2023 2024 2027 2030 2031 2032 2033
2037 2038 2039 2040 2042 2043 2044 2046 2047 2049
5001 5003 5004 5005 5007 5008 5009 5010 5011 5012 5013 5015 5016 5017 5019
6001 6003 6005 6006 6007 6009 6012 6013 6014 6015 6016
"""
ONE_VIEW_SEEDS = frozenset(map(int, _ONE_VIEW_SEEDS.split()))


def plan_frames(split: str, domain: str, scene: Scene, part: Part) -> list[RenderedFrame]:
    """The frames of a scene in the order in which they are rendered."""
    if part.drive_frames:
        return drive(part.drive_frames)
    if scene.seed not in FIXED_VIEW_SEEDS.get((split, domain), ()):
        return standing_views(scene, part.views)
    available = 1 if scene.seed in ONE_VIEW_SEEDS else part.views
    return [
        RenderedFrame(number, (VIEW_DISTANCE_M,) if number else (), 0.0, float(number), 0.0)
        for number in range(min(part.views, available))
    ]


def choose_part(split: str, domain: str, seeds: range | None, views: int | None, drive_frames: int | None) -> Part:
    """The shared set's part of that name, with whatever the caller says otherwise.

    Raises:
        DataError: a split of one's own without seeds, or a reserved or negative seed.
    """
    known = PARTS.get((split, domain))
    if seeds is None:
        if known is None:
            raise DataError(
                f'split {split!r} is none of the shared set ({", ".join(SPLITS)}); '
                'say its --seeds, for example 10000-10099'
            )
        seeds = known.seeds
    if seeds.start < 0 or seeds.stop > FIRST_RESERVED_SEED or not seeds:
        raise DataError(
            f'seeds {seeds.start}-{seeds.stop - 1}: must ascend from 0 or more and stay below {FIRST_RESERVED_SEED}, '
            'since seeds from there on are reserved for tests'
        )
    default = known or Part(seeds)
    return Part(
        seeds,
        default.views if views is None else views,
        drive_frames if drive_frames is not None else 0 if views is not None else default.drive_frames,
    )


def parse_seeds(text: str) -> range:
    """Read ``7`` or ``10-19`` (both ends included).

    Raises:
        DataError: the text is neither.
    """
    first, dash, last = text.partition('-')
    if not first.isdecimal() or not (last.isdecimal() if dash else not last):
        raise DataError(f'--seeds {text!r}: write one seed or FIRST-LAST, for example 10000-10099')
    return range(int(first), int(last if dash else first) + 1)
