# SPDX-License-Identifier: Apache-2.0
"""What becomes of a teacher's answer: samples, targets, and a student that can be judged."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cast_ros.student import DepthSpec, InputSpec, StudentContract
from cast_train.data import Sample, make_targets, make_view
from cast_train.data.streets import CLASSES
from cast_train.engine.evaluate import evaluate, headline
from cast_train.teachers.teacher import (
    PseudoLabels,
    PseudoLabelSettings,
    TeacherAsStudent,
    pseudo_sample,
)

PERSON, CAR, TRUCK = 8, 9, 10
THINGS = (PERSON, CAR, TRUCK)
ROAD, SKY = 0, 7
HEIGHT, WIDTH = 32, 64


def answer(*rows: tuple[int, float, tuple[int, int, int, int]], stride: int = 1, dense: bool = True) -> PseudoLabels:
    """Rows of class, score and rectangle (top, bottom, left, right in pixels)."""
    masks = np.zeros((len(rows), HEIGHT // stride, WIDTH // stride), np.uint8)
    for mask, (_, _, (top, bottom, left, right)) in zip(masks, rows, strict=True):
        mask[top // stride : bottom // stride, left // stride : right // stride] = 255
    semantic = np.full((HEIGHT, WIDTH), ROAD, np.uint8)
    depth = np.full((HEIGHT, WIDTH), 12.5, np.float32)
    semantic[:4], depth[:4] = SKY, np.inf
    return PseudoLabels(
        HEIGHT,
        WIDTH,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float32),
        masks,
        semantic if dense else None,
        depth if dense else None,
    )


def picture() -> Sample:
    wrong = np.ones((HEIGHT, WIDTH), np.uint16)
    return Sample('one', np.zeros((HEIGHT, WIDTH, 3), np.uint8), wrong, np.array([TRUCK]), fx_px=50.0, domain='day')


def test_kept_detections_become_instances_and_the_better_one_owns_contested_pixels() -> None:
    found = pseudo_sample(
        picture(),
        answer((CAR, 0.9, (8, 24, 8, 32)), (PERSON, 0.5, (8, 24, 24, 48)), (TRUCK, 0.29, (26, 32, 0, 64))),
        PseudoLabelSettings(score=0.3),
    )
    assert found.instance_labels is not None
    assert found.instance_labels.tolist() == [CAR, PERSON]
    assert found.instance_ids is not None
    assert (found.instance_ids[8:24, 8:32] == 1).all()
    assert (found.instance_ids[8:24, 32:48] == 2).all()
    assert np.count_nonzero(found.instance_ids) == 16 * 40
    assert found.instance_is_crowd is not None
    assert not found.instance_is_crowd.any()
    assert (found.name, found.fx_px, found.domain) == ('one', 50.0, 'day')


def test_the_semantic_map_agrees_with_the_kept_instances_and_stays_elsewhere() -> None:
    labels = answer((CAR, 0.9, (8, 24, 8, 32)))
    assert labels.semantic is not None
    labels.semantic[28:, 50:] = PERSON  # the map knows a person that no detection covers
    found = pseudo_sample(picture(), labels, PseudoLabelSettings())
    assert found.semantic is not None
    assert found.semantic.dtype == np.uint8
    assert (found.semantic[8:24, 8:32] == CAR).all()
    assert (found.semantic[28:, 50:] == PERSON).all()
    assert (found.semantic[:4] == SKY).all()
    assert found.depth_m is labels.depth_m


@pytest.mark.parametrize(
    ('rows', 'kept'),
    [
        ([(CAR, 0.9, (8, 24, 8, 32)), (CAR, 0.8, (8, 24, 8, 32))], [CAR]),
        ([(CAR, 0.9, (8, 24, 8, 32)), (CAR, 0.8, (8, 24, 10, 34))], [CAR]),  # 2 of 24 columns are left of the second
        ([(PERSON, 0.9, (8, 10, 8, 13))], []),  # 10 pixels
        ([(PERSON, 0.9, (8, 10, 8, 14))], [PERSON]),  # 12 pixels
        ([(CAR, float('nan'), (8, 24, 8, 32))], []),
        ([(CAR, 0.9, (8, 8, 8, 8)), (PERSON, 0.5, (8, 24, 8, 32))], [PERSON]),  # an empty mask takes nothing
        ([], []),
    ],
)
def test_duplicates_and_tiny_instances_are_left_out(
    rows: list[tuple[int, float, tuple[int, int, int, int]]], kept: list[int]
) -> None:
    found = pseudo_sample(picture(), answer(*rows), PseudoLabelSettings())
    assert found.instance_labels is not None
    assert found.instance_labels.tolist() == kept
    assert found.instance_ids is not None
    assert set(np.unique(found.instance_ids)) <= set(range(len(kept) + 1))


def test_coarse_masks_are_enlarged_to_the_picture() -> None:
    found = pseudo_sample(picture(), answer((CAR, 0.9, (8, 24, 16, 48)), stride=4), PseudoLabelSettings())
    assert found.instance_ids is not None
    true = np.zeros((HEIGHT, WIDTH), bool)
    true[8:24, 16:48] = True
    overlap = np.count_nonzero((found.instance_ids > 0) & true) / np.count_nonzero((found.instance_ids > 0) | true)
    assert overlap > 0.9


def test_a_teacher_without_dense_answers_leaves_them_absent() -> None:
    found = pseudo_sample(picture(), answer((CAR, 0.9, (8, 24, 8, 32)), dense=False), PseudoLabelSettings())
    assert found.semantic is None
    assert found.depth_m is None


def test_targets_of_views_hold_stuff_and_things_and_no_depth_of_the_sky() -> None:
    sample = pseudo_sample(picture(), answer((CAR, 0.9, (8, 24, 8, 32))), PseudoLabelSettings())
    targets = make_targets(make_view(sample, HEIGHT, WIDTH, 50.0, 80.0, None, [0]), THINGS)
    assert targets.labels is not None
    assert targets.labels.tolist() == [ROAD, SKY, CAR]
    assert targets.masks is not None
    assert targets.masks[2].sum() == 16 * 24
    assert targets.depth_m is not None
    assert targets.depth_m[:4].isnan().all()
    assert (targets.depth_m[4:] == 12.5).all()


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(ValidationError):
        PseudoLabelSettings(score=1.2)
    with pytest.raises(ValidationError):
        PseudoLabelSettings.model_validate({'scoer': 0.2})


class _Fixed:
    """Answers with the same labels whatever it sees."""

    fingerprint = '0'

    def __init__(self, labels: PseudoLabels) -> None:
        self._labels = labels

    def label(self, images: object, fx_px: object) -> list[PseudoLabels]:
        return [self._labels]


def test_a_teacher_is_judged_like_a_student_with_all_its_detections() -> None:
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[8:24, 8:32], ids[8:24, 40:60] = 1, 2
    truth = answer((CAR, 0.9, (8, 24, 8, 32)), (CAR, 0.05, (8, 24, 40, 60)))
    sample = Sample(
        'one',
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        ids,
        np.array([CAR, CAR]),
        np.zeros(2, bool),
        truth.semantic,
        truth.depth_m,
    )
    contract = StudentContract(
        name='any',
        version='1',
        license='Apache-2.0',
        input=InputSpec(height=HEIGHT, width=WIDTH),
        classes=CLASSES,
        outputs=('scores', 'labels', 'masks', 'semantic', 'depth'),
        depth=DepthSpec(cap_m=80.0, focal_reference_px=50.0),
    )
    scores = headline(evaluate(TeacherAsStudent(_Fixed(truth), contract), [sample]))
    assert scores['ap'] == pytest.approx(1.0)  # the second one counts although its score is 0.05
    assert scores['miou'] == pytest.approx(1.0)
    assert scores['abs_rel'] == pytest.approx(0.0)
