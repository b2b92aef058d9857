# SPDX-License-Identifier: Apache-2.0
"""A whole evaluation: replay, compare, draw, and write metrics.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import ReplayError
from cast_ros.files import replacing
from cast_ros.offline.metrics.bootstrap import paired_bootstrap
from cast_ros.offline.metrics.depth import FrameDepth, mean_depth_error
from cast_ros.offline.metrics.instance_matches import MatchedFrames
from cast_ros.offline.metrics.panoptic import mean_panoptic_quality
from cast_ros.offline.metrics.semantic import mean_iou
from cast_ros.offline.replay.frames import PictureBag
from cast_ros.offline.replay.gallery import WorstPicture, draw_worst, worst_indices
from cast_ros.offline.replay.judge import Contestant, FrameNote, make_contestants
from cast_ros.offline.replay.plots import quality_of
from cast_ros.offline.replay.report import write_report
from cast_ros.offline.replay.run import Replay, ReplaySettings, replay

METRICS, REPORT = 'metrics.json', 'report.html'
BLOCK_LENGTH, RESAMPLES, LEAST_PICTURES = 10, 500, 8
# Edges of the mean grey value, 0 to 255.
LUMINANCE_EDGES = (0, 25, 50, 75, 100, 125, 150, 256)

Notes = Sequence[FrameNote]


def evaluate_bag(
    bag_path: Path,
    models: Sequence[Path],
    out: Path,
    settings: ReplaySettings,
    advance: Callable[[int, int], None] = lambda done, of: None,
    live: Sequence[Mapping[str, Any]] = (),
) -> Replay:
    """Replay a bag and write everything that is to be known about it into a folder.

    Args:
        bag_path: MCAP or sqlite3.
        models: ONNX files; the first one is what the others are compared with.
        out: folder.
        settings: how.
        advance: told after every picture how many of how many are done.
        live: of each student, what came of the bag through DDS; shown in the report.

    Raises:
        BagError, StudentError, ReplayError: as `replay`.
    """
    result = replay(bag_path, models, out, settings, advance)
    result.document['live'] = [dict(figures) for figures in live]
    result.document['differences'] = differences(result)
    result.document['depth_caps_m'] = depth_caps(result)
    result.document['luminance_bins'] = luminance_bins(result)
    try:
        with replacing(out / METRICS) as file:
            file.write(json.dumps(result.document, indent=1, allow_nan=False).encode() + b'\n')
    except OSError as error:
        raise ReplayError(f'{out}: cannot be written ({error}); free some space and start again') from error
    write_report(out / REPORT, result, _worst(bag_path, models, result, settings))
    return result


def _worst(
    bag_path: Path, models: Sequence[Path], result: Replay, settings: ReplaySettings
) -> dict[str, list[WorstPicture]]:
    key = quality_of(result)[0]
    chosen = {}
    for one in result.contestants:
        values = [(line['index'], line.get('students', {}).get(one.name, {}).get(key)) for line in result.frames]
        chosen[one.name] = worst_indices([(index, value) for index, value in values if value is not None])
    wanted = {index for indices in chosen.values() for index in indices}
    if not wanted:
        return {}
    with ExitStack() as stack:
        bag = stack.enter_context(PictureBag(bag_path, settings.topic, settings.camera_info_topic, settings.rectified))
        contestants = make_contestants(models, bag, settings.load, stack)
        drawn = draw_worst(bag, contestants, wanted, settings.score_threshold)
    return {name: [drawn[index] for index in indices if index in drawn] for name, indices in chosen.items()}


def differences(replay: Replay) -> dict[str, dict[str, Any]]:
    """The second student minus the first: by place in metrics.json, with intervals of 95 % over blocks of pictures."""
    if len(replay.contestants) < 2:
        return {}
    one, other = replay.contestants[:2]
    found = {}
    for part, statistics in _STATISTICS.items():
        if part != 'depth' and set(one.contract.class_names) != set(other.contract.class_names):
            continue  # means over other classes are no difference
        if part == 'depth' and _cap_m(one) != _cap_m(other):
            continue  # nor are errors over other pixels
        first, second = _paired(one, other, part)
        if len(first) < LEAST_PICTURES:
            continue
        columns = _column(first, part, one), _column(second, part, other)
        for place, statistic in statistics.items():
            interval = paired_bootstrap(statistic, columns[0], columns[1], RESAMPLES, block_length=BLOCK_LENGTH)
            if interval is not None:
                found[place] = interval.as_dict()
    return found


def depth_caps(replay: Replay) -> dict[str, float] | None:
    """By student, up to how many metres its depth was judged; None where that is the same for all.

    Errors grow with distance: a student that is judged up to 50 m looks better than one that is judged up to 80 m.
    """
    caps = {one.name: cap_m for one in replay.contestants if (cap_m := _cap_m(one)) is not None}
    return caps if len(set(caps.values())) > 1 else None


def _cap_m(one: Contestant) -> float | None:
    return None if one.contract.depth is None else one.contract.depth.cap_m


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
    statistics = [note.statistics for note in notes]
    matches = [entry.matches for entry in statistics if entry.matches is not None]
    confusions = [entry.confusion for entry in statistics if entry.confusion is not None]
    depths = [entry.depth for entry in statistics if entry.depth is not None]
    return {
        'ap': MatchedFrames(matches, _things(one)).ap() if matches and _things(one) else None,
        'miou': mean_iou(np.stack(confusions)) if confusions else None,
        'abs_rel': mean_depth_error(depths) if depths else None,
    }


def _paired(one: Contestant, other: Contestant, part: str) -> tuple[Notes, Notes]:
    """The pictures of which both sides have this."""
    known = {note.index: note for note in other.judge.notes if getattr(note.statistics, part) is not None}
    first = [note for note in one.judge.notes if getattr(note.statistics, part) is not None and note.index in known]
    return first, [known[note.index] for note in first]


def _column(notes: Notes, part: str, one: Contestant) -> Any:
    """As the statistics take it."""
    values = [getattr(note.statistics, part) for note in notes]
    if part == 'matches':
        return MatchedFrames(values, _things(one))
    return values if part == 'depth' else np.stack(values)


def _things(one: Contestant) -> dict[int, str]:
    return {number: one.contract.classes[number].name for number in one.contract.thing_ids}


def _rmse(frames: Sequence[FrameDepth], counts: NDArray[np.int64]) -> float | None:
    return mean_depth_error(frames, counts, 'rmse')


# By field of FrameStatistics, and place in metrics.json.
_STATISTICS: dict[str, dict[str, Callable[..., float | None]]] = {
    'matches': {'instances.ap': MatchedFrames.ap, 'instances.ap50': MatchedFrames.ap50},
    'panoptic': {'panoptic.all.pq': mean_panoptic_quality},
    'confusion': {'semantic.miou': mean_iou},
    'depth': {'depth.abs_rel': mean_depth_error, 'depth.rmse': _rmse},
}
