# SPDX-License-Identifier: Apache-2.0
"""report.html: one file without network that people forward; for phones and desks, light and dark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from cast_ros.errors import ReplayError
from cast_ros.files import write_text
from cast_ros.offline.pages import page_template_environment
from cast_ros.offline.replay.gallery import WorstPicture
from cast_ros.offline.replay.plots import colour, figures, quality_of, seconds_of
from cast_ros.offline.replay.run import Replay

# Place in the document of a student, name for people, whether it is a fraction, whether less is better.
SHOWN_PROBLEMS = 20

HEADLINES: tuple[tuple[str, str, bool, bool], ...] = (
    ('instances.ap', 'AP', True, False),
    ('instances.ap50', 'AP50', True, False),
    ('instances_cityscapes.ap', 'AP, Cityscapes', True, False),
    ('panoptic.all.pq', 'PQ', True, False),
    ('semantic.miou', 'mIoU', True, False),
    ('boundary.mean_f', 'boundary F', True, False),
    ('depth.abs_rel', 'AbsRel', False, True),
    ('depth_scaled.abs_rel', 'AbsRel, scaled', False, True),
    ('depth.rmse', 'RMSE (m)', False, True),
    ('calibration.expected_error', 'score error', True, True),
    ('temporal.mask_consistency', 'mask consistency', True, False),
    ('temporal.depth_flicker', 'depth flicker', False, True),
    ('tracking.switches', 'id switches', False, True),
    ('timing_ms.p50', 'time a picture (ms)', False, True),
)

_LIVE = {
    'rate': 'speed of the bag',
    'sent': 'pictures sent',
    'num_missed_frames': 'of those not answered (NUM_MISSED_FRAMES)',
    'mean_frame_rate': 'answers a second (MEAN_FRAME_RATE)',
    'mean_sent_received_latency': 'mean latency, ms (MEAN_SENT_RECEIVED_LATENCY)',
    'p95_sent_received_latency': 'p95 latency, ms',
    'max_jitter': 'largest jitter, ms (MAX_JITTER)',
    'std_dev_jitter': 'deviation of the jitter, ms (STD_DEV_JITTER)',
    'peak_frame_rate': 'most pictures a second with less than 5 % missed',
}


def write_report(path: Path, replay: Replay, worst: dict[str, list[WorstPicture]]) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        replay: all that is known.
        worst: by student, its worst pictures.

    Raises:
        ReplayError: the file cannot be written.
    """
    environment = page_template_environment('cast_ros.offline.replay')
    plots = figures(replay)
    text = environment.get_template('replay.html.j2').render(
        document=replay.document,
        summary=summary_of(replay.document),
        uncalibrated=calibration_warning(replay),
        students=[{'name': one.name, 'color': colour(number)} for number, one in enumerate(replay.contestants)],
        headlines=headline_rows(replay.document),
        unlike=depth_is_unlike(replay.document),
        classes=class_rows(replay.document),
        figures=plots,
        data=_for_script(_page_data(replay, plots)),
        plotly=get_plotlyjs(),
        quality=quality_of(replay)[1],
        worst=worst,
        live=live_rows(replay.document),
        problems=problems_of(replay),
        shown_problems=SHOWN_PROBLEMS,
        provenance=provenance_rows(replay.document),
    )
    try:
        write_text(path, text)
    except OSError as error:
        raise ReplayError(f'{path}: cannot be written ({error}); free some space and start again') from error


def summary_of(document: dict[str, Any]) -> str:
    """One sentence on what was replayed."""
    bag = document['bag']
    sizes = ', '.join(f'{width}×{height}' for width, height in bag['sizes'])
    truth = 'with ground truth' if bag['ground_truth'] else 'without ground truth'
    return f'{bag["pictures"]} pictures of {sizes} in {bag["duration_s"]:.0f} s on {bag["topic"]}, {truth}'


def calibration_warning(replay: Replay) -> str:
    """One sentence on pictures whose depth is not metric for want of a calibration, or in doubt; '' if none."""
    if not any('depth' in one.contract.heads for one in replay.contestants):
        return ''
    reasons = [line['uncalibrated'] for line in replay.frames if 'uncalibrated' in line]
    if not reasons:
        return str(replay.document['bag']['intrinsics_doubt'])
    several = ', the first because ' if len(set(reasons)) > 1 else ': '
    pictures = replay.document['bag']['pictures']
    return (
        f'{len(reasons)} of {pictures} pictures have no usable calibration{several}{reasons[0]}. '
        'Their depth is not metric for this camera: the focal length that the student was trained for is assumed'
    )


def headline_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Figure by figure: its value for every student, and how the second differs from the first, or why they cannot."""
    rows = []
    unlike = depth_is_unlike(document)
    for place, title, is_share, less_is_better in HEADLINES:
        values = [_at(one, place) for one in document['students']]
        if all(value is None for value in values):
            continue
        interval = document['differences'].get(place)
        rows.append(
            {
                'title': title,
                'values': [shown(value, is_share) for value in values],
                'difference': None if interval is None else _difference(interval, is_share, less_is_better),
                'not_comparable': unlike if place.startswith(('depth.', 'depth_scaled.')) else '',
            }
        )
    return rows


def depth_is_unlike(document: dict[str, Any]) -> str:
    """Up to how many metres the depth of which student was judged, where that differs; '' where it does not."""
    caps = document['depth_caps_m'] or {}
    return ', '.join(f'{name} up to {cap_m:g} m' for name, cap_m in caps.items())


def _at(values: dict[str, Any], place: str) -> float | None:
    node: Any = values
    for part in place.split('.'):
        node = None if node is None else node[part]
    return None if node is None else float(node)


def _difference(interval: dict[str, float], is_share: bool, less_is_better: bool) -> dict[str, str]:
    factor, digits = (100, 1) if is_share else (1, 3)
    change, low, high = (factor * interval[key] for key in ('difference', 'low', 'high'))
    sure = low > 0 or high < 0
    verdict = '' if not sure else ('better' if (change < 0) == less_is_better else 'worse')
    return {'text': f'{change:+.{digits}f}', 'range': f'{low:+.{digits}f} … {high:+.{digits}f}', 'verdict': verdict}


def class_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Class by class: IoU and AP of every student, and the depth error inside its instances."""
    names: dict[str, None] = {}
    for one in document['students']:
        for section in ('semantic', 'instances'):
            names.update(dict.fromkeys((one.get(section) or {}).get('per_class') or {}))
    rows = []
    for name in names:
        cells = []
        for one in document['students']:
            iou = ((one.get('semantic') or {}).get('per_class') or {}).get(name)
            precision = ((one.get('instances') or {}).get('per_class') or {}).get(name) or {}
            inside = ((one.get('depth_by') or {}).get('by_class') or {}).get(name) or {}
            cells += [
                {'text': shown(iou, True), 'value': iou},
                {'text': shown(precision.get('ap'), True), 'value': precision.get('ap')},
                {'text': shown(inside.get('abs_rel'), False), 'value': inside.get('abs_rel')},
            ]
        if any(cell['value'] is not None for cell in cells):
            rows.append({'name': name, 'cells': cells})
    return rows


def problems_of(replay: Replay) -> list[tuple[str, str]]:
    """Where and what: damaged messages of other topics, labels without a picture, pictures, and labels."""
    bag = replay.document['bag']
    found = list(bag['faults'].items())
    if alone := bag['labels_without_picture']:
        found.append(('labels', f'the stamps of {alone} messages are those of no picture'))
    for line in replay.frames:
        if 'problem' in line:
            found.append((f'picture {line["index"]}', line['problem']))
        reasons = {values.get('label_problem') for values in line.get('students', {}).values()} - {None}
        found += [(f'labels of picture {line["index"]}', reason) for reason in sorted(reasons)]
    return found


def live_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What came of the bag through DDS into the real node, figure by figure."""
    rows = []
    for key, title in _LIVE.items():
        values = [figures.get(key) for figures in document['live']]
        if any(value is not None for value in values):
            rows.append(
                {
                    'title': title,
                    'values': [
                        '–' if value is None else f'{value:g}' if value == int(value) else f'{value:.1f}'
                        for value in values
                    ],
                }
            )
    return rows


def provenance_rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What made it."""
    bag = document['bag']
    rows = [('bag', bag['name']), ('fingerprint of the bag', bag['fingerprint'])]
    for one in document['students']:
        rows.append((one['name'], f'{one["file"]}, version {one["version"]}, {one["provider"]}'))
        rows.append((f'sha256 of {one["name"]}', one['sha256']))
    rows += [(name, str(value)) for name, value in document['versions'].items()]
    rows.append(('score threshold', str(document['settings']['score_threshold'])))
    return rows


def shown(value: float | None, is_share: bool) -> str:
    """A figure for people: shares as per cent."""
    if value is None:
        return '–'
    if is_share:
        return f'{100 * value:.1f}'
    if value == int(value):
        return str(int(value))
    return f'{value:.3f}' if abs(value) < 10 else f'{value:.1f}'


def _page_data(replay: Replay, plots: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        'figures': [{key: figure[key] for key in ('id', 'data', 'layout')} for figure in plots],
        'thumbnails': [
            {'index': index, 'pictures': pictures} for index, pictures in sorted(replay.thumbnails.by_index.items())
        ],
        'seconds': dict(zip([line['index'] for line in replay.frames], seconds_of(replay), strict=True)),
        'names': [one.name for one in replay.contestants],
    }


def _for_script(data: dict[str, Any]) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(data, allow_nan=False, separators=(',', ':')).replace('<', '\\u003c')
