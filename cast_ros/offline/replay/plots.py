# SPDX-License-Identifier: Apache-2.0
"""The figures of the report as plotly.js takes them: plain dictionaries, colours by role, filled in by the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.offline.replay.run import Replay

# Of the lines of the first student, the second, …; readable on light and dark paper.
COLOURS = ('#3b82c4', '#e07b39', '#4fa66a', '#b35fae', '#8c8c8c')
MOST_CLASSES_OF_CURVES = 8
# Colour of the sure side of the confusion matrix; the other end is the paper.
CONFUSION_COLOUR = '#3b82c4'

# Of a picture, best first: the first that anybody has is shown.
QUALITIES = {
    'miou': 'mIoU of the picture',
    'found_share': 'share of the instances that were found above the score threshold',
    'mask_consistency': 'agreement with the picture before',
    'instance_consistency': 'agreement of the instances with the picture before',
}
# More would make a page that no phone can show, and no eye tell apart.
MOST_POINTS_OF_A_CURVE = 200

Figure = dict[str, Any]


def figures(replay: Replay) -> list[Figure]:
    """Every figure that this replay has data for: id, title, a sentence, and plotly's data and layout."""
    found = [
        _time_line(replay),
        _latency(replay),
        *_precision_recall(replay),
        _by_distance(replay),
        _luminance(replay),
        *_confusions(replay),
        _honesty(replay),
    ]
    return [figure for figure in found if figure is not None]


def quality_of(replay: Replay) -> tuple[str, str]:
    """Key and name of what the time line shows and the worst pictures are chosen by."""
    for key, name in QUALITIES.items():
        if any(_value(line, one.name, key) is not None for line in replay.frames for one in replay.contestants):
            return key, name
    return next(iter(QUALITIES.items()))


def _time_line(replay: Replay) -> Figure | None:
    key, name = quality_of(replay)
    seconds = seconds_of(replay)
    data = [
        _line(replay, number, seconds, [_value(line, one.name, key) for line in replay.frames])
        for number, one in enumerate(replay.contestants)
    ]
    if all(value is None for trace in data for value in trace['y']):
        return None
    return _figure('time-line', 'Over time', f'{name}; touch a point to see the picture.', data, 's', name, [0, 1])


def _latency(replay: Replay) -> Figure:
    seconds = seconds_of(replay)
    data = []
    for number, one in enumerate(replay.contestants):
        parts = [timing.get('students', {}).get(one.name) for timing in replay.timings]
        data.append(
            _line(replay, number, seconds, [None if part is None else round(sum(part.values()), 3) for part in parts])
        )
    return _figure(
        'latency', 'Time a picture', 'From pixels to answer on this machine, without ROS.', data, 's', 'ms', None
    )


def _precision_recall(replay: Replay) -> list[Figure]:
    found = []
    for number, one in enumerate(replay.contestants):
        curves = one.judge.precision_recall()
        busiest = sorted(curves, key=lambda name: -curves[name].true_count)[:MOST_CLASSES_OF_CURVES]
        data = [
            {
                'type': 'scatter',
                'mode': 'lines',
                'name': name,
                'x': _thinned(curves[name].points.recall),
                'y': _thinned(curves[name].points.precision),
            }
            for name in busiest
        ]
        if data:
            figure = _figure(
                f'precision-recall-{number}',
                f'Precision and recall: {one.name}',
                'At IoU 0.5; thresholds from high on the left to low on the right.',
                data,
                'recall',
                'precision',
                [0, 1.02],
            )
            figure['layout']['xaxis']['range'] = [0, 1]
            found.append(figure)
    return found


def _by_distance(replay: Replay) -> Figure | None:
    data = []
    for number, one in enumerate(replay.document['students']):
        parts = (one['depth_by'] or {}).get('by_distance', {})
        bins = {name: part['abs_rel'] for name, part in parts.items() if part['abs_rel'] is not None}
        if bins:
            data.append(
                {
                    'type': 'bar',
                    'name': one['name'],
                    'marker': {'color': colour(number)},
                    'x': list(bins),
                    'y': [round(value, 4) for value in bins.values()],
                }
            )
    if not data:
        return None
    return _figure(
        'depth-by-distance',
        'Depth error by distance',
        'AbsRel, metric, by the true distance.',
        data,
        '',
        'AbsRel',
        None,
    )


def _luminance(replay: Replay) -> Figure | None:
    bins = replay.document['luminance_bins']
    judged = [entry for entry in bins if any(part.get('miou') is not None for part in entry['students'].values())]
    if len(judged) < 2:
        return None
    data = [
        {
            'type': 'bar',
            'name': one.name,
            'marker': {'color': colour(number)},
            'x': [f'{entry["from"]:g}–{entry["to"]:g} ({entry["pictures"]})' for entry in judged],
            'y': [entry['students'][one.name].get('miou') for entry in judged],
        }
        for number, one in enumerate(replay.contestants)
    ]
    sentence = 'mIoU by the mean grey value of the picture (0 to 255; number of pictures).'
    return _figure('luminance', 'Bright and dark', sentence, data, '', 'mIoU', [0, 1])


def _confusions(replay: Replay) -> list[Figure]:
    found = []
    for number, one in enumerate(replay.contestants):
        shares = one.judge.confusion_shares()
        if shares is None:
            continue
        names = list(shares)
        columns = [*one.contract.class_names, 'nothing']
        data = [
            {
                'type': 'heatmap',
                'x': columns,
                'y': names,
                'z': [[round(float(value), 4) for value in shares[name]] for name in names],
                'zmin': 0,
                'zmax': 1,
                'colorscale': [[0, 'rgba(0,0,0,0)'], [1, CONFUSION_COLOUR]],
                'hovertemplate': '%{y} taken for %{x}: %{z:.1%}<extra></extra>',
                'showscale': False,
            }
        ]
        figure = _figure(
            f'confusion-{number}',
            f'Taken for what: {one.name}',
            'Each row is what is there, and what share of its pixels the student calls what.',
            data,
            '',
            '',
            None,
        )
        figure['layout']['yaxis'] |= {'autorange': 'reversed'}
        figure['tall'] = True
        found.append(figure)
    return found


def _honesty(replay: Replay) -> Figure | None:
    data = []
    for number, one in enumerate(replay.document['students']):
        bins = [entry for entry in (one['calibration'] or {}).get('bins', []) if entry['count']]
        if bins:
            data.append(
                {
                    'type': 'scatter',
                    'mode': 'lines+markers',
                    'name': one['name'],
                    'line': {'color': colour(number)},
                    'x': [round(entry['mean_score'], 4) for entry in bins],
                    'y': [round(entry['precision'], 4) for entry in bins],
                    'text': [f'{entry["count"]} instances' for entry in bins],
                }
            )
    if not data:
        return None
    data.append(
        {
            'type': 'scatter',
            'mode': 'lines',
            'name': 'honest',
            'line': {'dash': 'dot', 'color': '#9a9a9a'},
            'x': [0, 1],
            'y': [0, 1],
            'hoverinfo': 'skip',
        }
    )
    sentence = (
        'Of the instances with a score, how many are right (IoU 0.5): below the dotted line scores promise too much.'
    )
    return _figure('honesty', 'Are scores honest?', sentence, data, 'score', 'share that is right', [0, 1.02])


def seconds_of(replay: Replay) -> list[float | None]:
    """Of every picture, from the first; None for one that could not be decoded, whose stamp may be nonsense."""
    first = min(line['stamp_ns'] for line in replay.frames if 'width' in line)
    return [round((line['stamp_ns'] - first) / 1e9, 4) if 'width' in line else None for line in replay.frames]


def _thinned(values: NDArray[np.float64]) -> list[float]:
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS_OF_A_CURVE)).round().astype(int))
    return [round(float(value), 4) for value in values[places]]


def colour(number: int) -> str:
    """Of the student of this number."""
    return COLOURS[number % len(COLOURS)]


def _line(replay: Replay, number: int, seconds: Sequence[float | None], values: Sequence[float | None]) -> Figure:
    return {
        'type': 'scatter',
        'mode': 'lines+markers' if len(values) <= 400 else 'lines',
        'name': replay.contestants[number].name,
        'line': {'color': colour(number), 'width': 1.5},
        'marker': {'size': 4},
        'x': list(seconds),
        'y': list(values),
        'customdata': [line['index'] for line in replay.frames],
    }


def _figure(
    name: str, title: str, sentence: str, data: list[Figure], x_title: str, y_title: str, y_range: list[float] | None
) -> Figure:
    layout: Figure = {
        'xaxis': {'title': {'text': x_title}},
        'yaxis': {'title': {'text': y_title}, **({'range': y_range} if y_range else {'rangemode': 'tozero'})},
        'showlegend': len(data) > 1,
    }
    return {'id': name, 'title': title, 'sentence': sentence, 'data': data, 'layout': layout, 'tall': False}


def _value(line: dict[str, Any], student: str, key: str) -> float | None:
    value = line.get('students', {}).get(student, {}).get(key)
    return None if value is None else float(value)
