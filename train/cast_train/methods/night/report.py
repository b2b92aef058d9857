# SPDX-License-Identifier: Apache-2.0
"""The report of `cast-train night`: one HTML file without scripts or network, for phones and desks, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cast_ros.files import write_text
from cast_ros.images import encode_jpeg
from cast_ros.offline.pages import page_template_environment
from cast_ros.overlay import draw_overlay
from cast_ros.student import Prediction, StudentContract
from cast_train.errors import TrainingError
from cast_train.methods.night.judging import WHEN, Judged, JudgedPicture
from cast_train.methods.night.recipe import SOURCE, TARGET

TITLES = {'ap': 'AP', 'ap50': 'AP50', 'miou': 'mIoU', 'abs_rel': 'AbsRel', 'rmse': 'RMSE', 'delta1': 'δ < 1.25'}
PER_CENT = ('ap', 'ap50', 'miou', 'delta1')
SMALLER_IS_BETTER = ('abs_rel', 'rmse')
SHOWN_PICTURES, PICTURE_WIDTH_PX, JPEG_QUALITY = 3, 480, 80
SHOWN_SCORE = 0.3


def write_report(path: Path, document: dict[str, Any], judged: Judged, contract: StudentContract) -> None:
    """Write the report.

    Args:
        path: the HTML file.
        document: what metrics.json says.
        judged: the student before and after, on both domains.
        contract: of the student.

    Raises:
        TrainingError: the file cannot be written.
    """
    text = (
        page_template_environment('cast_train.methods.night')
        .get_template('night.html.j2')
        .render(
            name=document['name'],
            gate=document['gate'],
            gate_text=_gate_text(document['gate']),
            losing=losing_text(document['gate']['losing_classes']),
            cards=[_card(name, document) for name in (SOURCE, TARGET)],
            classes=_class_rows(judged, contract),
            bins=_bins(judged),
            pseudo=document['pseudo_labels'],
            pseudo_rows=_pseudo_rows(document['pseudo_labels']),
            galleries=_galleries(judged, contract),
            provenance=_provenance(document),
        )
    )
    try:
        write_text(path, text)
    except OSError as error:
        raise TrainingError(f'{path}: cannot be written ({error}); free some space and start again') from error


def losing_text(losing_classes: Mapping[str, Mapping[str, float]]) -> str:
    """A sentence on the classes that lost more IoU than their mean may; '' if none has."""
    parts = [
        f'by {domain} {", ".join(f"{name} {-points:+.1f}" for name, points in classes.items())}'
        for domain, classes in losing_classes.items()
        if classes
    ]
    return f'Classes that lost IoU, in points: {"; ".join(parts)}' if parts else ''


def shown(metric: str, value: float | None) -> str:
    """A figure for people: fractions as per cent."""
    if value is None:
        return '–'
    return f'{100 * value:.1f}' if metric in PER_CENT else f'{value:.3f}'


def _signed(metric: str, change: float) -> str:
    return f'{100 * change:+.1f}' if metric in PER_CENT else f'{change:+.3f}'


def _change(metric: str, before: float | None, after: float | None) -> str:
    """Before → after, or a dash where nothing was measured."""
    return '–' if before is None and after is None else f'{shown(metric, before)} → {shown(metric, after)}'


def _card(name: str, document: dict[str, Any]) -> dict[str, Any]:
    figures = document['figures'][name]
    rows = []
    for metric, title in TITLES.items():
        before, after = (figures[when].get(metric) for when in WHEN)
        if before is None and after is None:
            continue
        change = None if before is None or after is None else after - before
        better = None if not change else (change < 0) == (metric in SMALLER_IS_BETTER)
        rows.append(
            {
                'title': title,
                'before': shown(metric, before),
                'after': shown(metric, after),
                'change': '' if change is None else _signed(metric, change),
                'verdict': '' if better is None else 'better' if better else 'worse',
            }
        )
    return {'name': name, 'pictures': document['pictures'][name], 'rows': rows}


def _gate_text(gate: dict[str, Any]) -> str:
    parts = [
        f'{TITLES[name]} by {SOURCE} {"fell" if loss > 0 else "rose"} by {abs(loss):.2f} points '
        f'(allowed to fall: {gate["allowed_points"][name]:g})'
        for name, loss in gate['lost_points'].items()
    ]
    return '; '.join(parts)


def _class_rows(judged: Judged, contract: StudentContract) -> list[dict[str, Any]]:
    def figures(name: str, when: str, class_name: str) -> tuple[float | None, float | None]:
        scores = judged[when, name].scores
        iou = None if scores.semantic is None else scores.semantic.per_class.get(class_name)
        found = None if scores.instances is None else scores.instances.per_class.get(class_name)
        return iou, None if found is None else found.ap

    rows = []
    for entry in contract.classes:
        cells = []
        for name in (SOURCE, TARGET):
            before, after = (figures(name, when, entry.name) for when in WHEN)
            cells += [
                _change(metric, *pair)
                for metric, pair in zip(('miou', 'ap'), zip(before, after, strict=True), strict=True)
            ]
        rows.append({'name': entry.name, 'color': '#{:02x}{:02x}{:02x}'.format(*entry.color), 'cells': cells})
    return rows


def _bins(judged: Judged) -> list[dict[str, Any]]:
    """Brightness ranges of both domains, each with the student before and after."""
    rows = []
    for name in (SOURCE, TARGET):
        for before, after in zip(judged['before', name].bins, judged['after', name].bins, strict=True):
            low, high, count, figures = after
            rows.append(
                {
                    'domain': name,
                    'range': f'{low}–{high - 1}',
                    'pictures': count,
                    'cells': [
                        {
                            'text': _change(metric, before[3].get(metric), figures.get(metric)),
                            'width': round(100 * figures.get(metric, 0.0)) if metric in PER_CENT else 0,
                        }
                        for metric in ('ap', 'miou', 'abs_rel')
                    ],
                }
            )
    return rows


def _pseudo_rows(pseudo: dict[str, Any]) -> list[dict[str, str]]:
    if pseudo['raw_iou'] is None:
        return []
    return [
        {
            'name': name,
            'raw': shown('miou', raw),
            'refined': shown('miou', pseudo['refined_iou'][name]),
            'precision': shown('miou', pseudo['class_precision'][name]),
        }
        for name, raw in pseudo['raw_iou'].items()
    ]


def _galleries(judged: Judged, contract: StudentContract) -> list[dict[str, Any]]:
    """Best and worst pictures of the target by their own mIoU; without truth, the first ones."""
    pairs = list(zip(judged['before', TARGET].pictures, judged['after', TARGET].pictures, strict=True))
    ranked = sorted((pair for pair in pairs if pair[1].miou is not None), key=lambda pair: -(pair[1].miou or 0.0))
    if not ranked:
        chosen = [('Some pictures', pairs[:SHOWN_PICTURES])]
    else:
        worst = [pair for pair in ranked[::-1] if pair not in ranked[:SHOWN_PICTURES]][:SHOWN_PICTURES]
        chosen = [('Best pictures', ranked[:SHOWN_PICTURES]), ('Worst pictures', worst)]
    return [
        {'title': title, 'rows': [_row(before, after, contract) for before, after in some]}
        for title, some in chosen
        if some
    ]


def _row(before: JudgedPicture, after: JudgedPicture, contract: StudentContract) -> dict[str, Any]:
    return {
        'name': after.sample.name,
        'luminance': f'{after.luminance:.0f}',
        'miou': f'{shown("miou", before.miou)} → {shown("miou", after.miou)}',
        'pictures': [_encoded(one, contract) for one in (before, after)],
    }


def _encoded(judged: JudgedPicture, contract: StudentContract) -> str:
    """An overlay as a data URL."""
    drawn = draw_overlay(judged.sample.image, _sure(judged.prediction), contract)
    height = round(drawn.shape[0] * PICTURE_WIDTH_PX / drawn.shape[1])
    small = cv2.resize(drawn, (PICTURE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    jpeg = encode_jpeg(np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8), JPEG_QUALITY)
    return f'data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}'


def _sure(prediction: Prediction) -> Prediction:
    """Without the detections that a node would not publish: judging wants them all, people do not."""
    if prediction.scores is None or prediction.instance_ids is None:
        return prediction
    assert prediction.boxes is not None
    assert prediction.labels is not None
    kept = prediction.scores >= SHOWN_SCORE
    numbers = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.uint16)
    return replace(
        prediction,
        boxes=prediction.boxes[kept],
        labels=prediction.labels[kept],
        scores=prediction.scores[kept],
        instance_ids=numbers[prediction.instance_ids],
    )


def _provenance(document: dict[str, Any]) -> Sequence[tuple[str, str]]:
    recipe = document['recipe']

    def teacher(section: dict[str, Any] | None) -> str:
        return 'none' if section is None else f'{section["kind"]} {section["settings"]}'

    return [
        ('student', f'{document["student"]["file"]}, sha256 {document["student"]["sha256"]}'),
        ('started from', f'{document["start"]["file"]}, sha256 {document["start"]["sha256"] or "of a run folder"}'),
        ('masks without classes', teacher(recipe['segments'])),
        ('depth teacher', teacher(recipe['depth_teacher'])),
        ('code revision', document['git_revision']),
    ]
