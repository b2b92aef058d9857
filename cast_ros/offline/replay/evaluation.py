# SPDX-License-Identifier: Apache-2.0
"""A whole evaluation: replay, compare, draw, and write metrics.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cast_ros.errors import ReplayError
from cast_ros.files import replacing
from cast_ros.offline.replay.comparison import depth_caps, differences, luminance_bins
from cast_ros.offline.replay.contestant import make_contestants
from cast_ros.offline.replay.frames import PictureBag
from cast_ros.offline.replay.gallery import WorstPicture, draw_worst, worst_indices
from cast_ros.offline.replay.plots import quality_of
from cast_ros.offline.replay.report import write_report
from cast_ros.offline.replay.run import Replay, ReplaySettings, replay

METRICS, REPORT = 'metrics.json', 'report.html'


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
        bag = stack.enter_context(PictureBag(bag_path, settings.topic, settings.camera_info_topic))
        contestants = make_contestants(models, bag, settings.load, stack)
        drawn = draw_worst(bag, contestants, wanted, settings.score_threshold)
    return {name: [drawn[index] for index in indices if index in drawn] for name, indices in chosen.items()}
