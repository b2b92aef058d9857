# SPDX-License-Identifier: Apache-2.0
"""Figures of a labelling run, and when they stop it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cast_train.data.streets import CLASSES
from cast_train.errors import TeacherError
from cast_train.teachers.report import CollapseRule, LabelReport
from cast_train.teachers.teacher import PseudoLabels

PERSON, CAR = 8, 9


def labels(*rows: tuple[int, float]) -> PseudoLabels:
    return PseudoLabels(
        4,
        4,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float32),
        np.zeros((len(rows), 4, 4), np.uint8),
    )


def report_of(*pictures: PseudoLabels) -> LabelReport:
    report = LabelReport(asked=len(pictures))
    for one in pictures:
        report.add(one, 0.3)
    return report


def test_only_detections_of_the_threshold_count() -> None:
    report = report_of(labels((CAR, 0.9), (PERSON, 0.5), (CAR, 0.1)), labels((CAR, 0.29)), labels())
    report.asked = 4
    document = json.loads(json.dumps(report.as_document(CLASSES, 0.3)))
    assert document['coverage'] == 0.75
    assert document['mean_confidence'] == pytest.approx(0.7)
    assert document['detections_per_picture'] == pytest.approx(2 / 3, abs=1e-5)
    assert document['empty_share'] == pytest.approx(2 / 3, abs=1e-5)
    assert document['class_histogram'] == {'person': 1, 'car': 1}
    assert LabelReport.from_sums(document['sums']) == report


def test_reports_add_up_to_the_report_on_all_pictures() -> None:
    one, other = [labels((CAR, 0.9)), labels()], [labels((PERSON, 0.5), (CAR, 0.8))]
    assert LabelReport.merged([report_of(*one), report_of(*other)]) == report_of(*one, *other)


def test_a_report_on_nothing_has_no_figures() -> None:
    document = LabelReport().as_document(CLASSES, 0.3)
    assert document['coverage'] is None
    assert document['mean_confidence'] is None


@pytest.mark.parametrize(
    ('picture', 'problem'),
    [
        (labels(), '10 of 10 pictures have no detection, most_empty 0.9'),
        (labels((CAR, 0.9), (CAR, 0.9)), '20 of 20 are car, most_one_class 0.98'),
        (labels((CAR, 0.31), (PERSON, 0.31)), r'mean confidence is 0\.310, least_confidence 0\.35'),
    ],
)
def test_collapse_stops_with_the_numbers_and_what_to_do(picture: PseudoLabels, problem: str) -> None:
    with pytest.raises(TeacherError, match=f'collapsed: {problem}.*another teacher'):
        report_of(*[picture] * 10).require_health(CollapseRule(after=10), CLASSES)


def test_few_pictures_good_labels_and_a_single_thing_class_pass() -> None:
    report_of(*[labels()] * 9).require_health(CollapseRule(after=10), CLASSES)
    report_of(*[labels((CAR, 0.9), (PERSON, 0.5))] * 10).require_health(CollapseRule(after=10), CLASSES)
    only_cars = tuple(entry for entry in CLASSES if entry.id in (0, CAR))
    report_of(*[labels((CAR, 0.9))] * 10).require_health(CollapseRule(after=10), only_cars)
