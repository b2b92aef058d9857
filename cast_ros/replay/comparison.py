# SPDX-License-Identifier: Apache-2.0
"""Two students on the same pictures: differences with intervals, and figures by brightness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from cast_ros.metrics import MatchedFrames, mean_depth_error, mean_iou, paired_bootstrap
from cast_ros.replay.contestant import Contestant
from cast_ros.replay.judge import FrameNote
from cast_ros.replay.run import Replay

BLOCK_LENGTH, RESAMPLES, LEAST_PICTURES = 10, 500, 8
# Edges of the mean grey value, 0 to 255.
LUMINANCE_EDGES = (0, 25, 50, 75, 100, 125, 150, 256)

Notes = Sequence[FrameNote]


def differences(replay: Replay) -> dict[str, dict[str, Any]]:
    """The second student minus the first: by place in metrics.json, with intervals of 95 % over blocks of pictures."""
    if len(replay.contestants) < 2:
        return {}
    found = {}
    for name, attribute, prepare in _FIGURES:
        first, second = _paired(replay.contestants[0], replay.contestants[1], attribute)
        if len(first) < LEAST_PICTURES:
            continue
        for key, statistic in prepare(replay.contestants[0]).items():
            one, other = _column(first, name, replay.contestants[0]), _column(second, name, replay.contestants[1])
            interval = paired_bootstrap(statistic, one, other, RESAMPLES, block_length=BLOCK_LENGTH)
            if interval is not None:
                found[key] = interval.as_dict()
    return found


def luminance_bins(replay: Replay) -> list[dict[str, Any]]:
    """Pictures by their mean grey value; bins without a picture are left out."""
    rows = []
    for low, high in pairwise(LUMINANCE_EDGES):
        pictures = sum(low <= line.get('luminance', -1) < high for line in replay.frames)
        if pictures:
            students = {
                one.name: _of_bin(one, [note for note in one.judge.notes if low <= note.luminance < high])
                for one in replay.contestants
            }
            rows.append({'from': low, 'to': high, 'pictures': pictures, 'students': students})
    return rows


def _of_bin(one: Contestant, notes: Notes) -> dict[str, float | None]:
    matches = [note.matches for note in notes if note.matches is not None]
    confusions = [note.confusion for note in notes if note.confusion is not None]
    depths = [note.depth for note in notes if note.depth is not None]
    return {
        'ap': MatchedFrames(matches, _things(one)).ap() if matches and _things(one) else None,
        'miou': mean_iou(np.stack(confusions)) if confusions else None,
        'abs_rel': mean_depth_error(depths) if depths else None,
    }


def _paired(one: Contestant, other: Contestant, attribute: str) -> tuple[Notes, Notes]:
    """The pictures of which both sides have this."""
    known = {note.index: note for note in other.judge.notes if getattr(note, attribute) is not None}
    first = [note for note in one.judge.notes if getattr(note, attribute) is not None and note.index in known]
    return first, [known[note.index] for note in first]


def _column(notes: Notes, name: str, one: Contestant) -> Any:
    if name == 'matches':
        return MatchedFrames([note.matches for note in notes if note.matches is not None], _things(one))
    if name == 'confusion':
        return np.stack([note.confusion for note in notes if note.confusion is not None])
    return [note.depth for note in notes if note.depth is not None]


def _things(one: Contestant) -> dict[int, str]:
    return {number: one.contract.classes[number].name for number in one.contract.thing_ids}


def _instances(one: Contestant) -> dict[str, Callable[..., float | None]]:
    return {'instances.ap': MatchedFrames.ap, 'instances.ap50': MatchedFrames.ap50} if _things(one) else {}


_FIGURES: tuple[tuple[str, str, Callable[[Contestant], dict[str, Callable[..., float | None]]]], ...] = (
    ('matches', 'matches', _instances),
    ('confusion', 'confusion', lambda one: {'semantic.miou': mean_iou}),
    (
        'depth',
        'depth',
        lambda one: {
            'depth.abs_rel': mean_depth_error,
            'depth.rmse': lambda frames, counts: mean_depth_error(frames, counts, 'rmse'),
        },
    ),
)
