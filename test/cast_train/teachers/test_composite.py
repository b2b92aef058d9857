# SPDX-License-Identifier: Apache-2.0
"""A detector and a promptable mask network as one teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_masks import TINY
from tiny_run import untrained, untrained_run

from cast_ros.student import InputSpec
from cast_ros.student.geometry import InputGeometry
from cast_train.data.streets import CLASSES
from cast_train.engine.trained import millions
from cast_train.errors import RecipeError, TeacherError
from cast_train.models import QueryPrediction
from cast_train.models.promptable import PromptableMasks, PromptableSize
from cast_train.teachers.composite import CompositeTeacher, detect, within
from cast_train.teachers.network import NetworkTeacher, Seen
from cast_train.teachers.registry import TEACHERS, open_teacher

PERSON, CAR, TRUCK = 8, 9, 10


def masks_network(seed: int = 0) -> PromptableMasks:
    torch.manual_seed(seed)
    return PromptableMasks(PromptableSize.model_validate(TINY))


def picture(height: int = 100, width: int = 160) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def seen(*rows: tuple[int, float, list[float]]) -> Seen:
    """Queries of class, probability and box (centre x, y, width, height in shares of the input)."""
    geometry = InputGeometry.for_image(200, 400, InputSpec(height=64, width=128))
    probabilities = torch.full((len(rows), len(CLASSES) + 1), 1e-6)
    for row, (label, probability, _) in zip(probabilities, rows, strict=True):
        row[-1], row[label] = 1 - probability, probability
    boxes = torch.tensor([box for _, _, box in rows]).reshape(-1, 4)
    empty = np.zeros((16, 32), np.uint8)
    final = QueryPrediction(probabilities.log(), torch.zeros(len(rows), 16, 32), boxes)
    return Seen(geometry, final, empty, empty.astype(np.float32))


def test_boxes_of_the_detector_become_prompts_in_pixels_of_the_picture() -> None:
    scores, labels, boxes = detect(seen((CAR, 0.8, [0.5, 0.5, 0.25, 0.5])), (PERSON, CAR, TRUCK), 0.1, 0.7)
    assert labels.tolist() == [CAR]
    assert scores.tolist() == pytest.approx([0.8], abs=1e-3)
    assert boxes.tolist() == [pytest.approx([150, 50, 250, 150])]


def test_of_two_boxes_on_one_thing_the_better_one_stays_and_other_classes_and_places_too() -> None:
    one = [0.3, 0.5, 0.2, 0.4]
    found = seen(
        (CAR, 0.6, one), (CAR, 0.9, [0.31, 0.5, 0.2, 0.4]), (PERSON, 0.5, one), (CAR, 0.4, [0.8, 0.5, 0.2, 0.4])
    )
    scores, labels, _ = detect(found, (PERSON, CAR, TRUCK), 0.1, 0.7)
    assert labels.tolist() == [CAR, PERSON, CAR]
    assert scores.tolist() == pytest.approx([0.9, 0.5, 0.4], abs=1e-3)


def test_boxes_are_cut_at_the_picture_and_none_is_needed() -> None:
    _, _, boxes = detect(seen((CAR, 0.8, [0.0, 0.5, 0.5, 2.0])), (CAR,), 0.1, 0.7)
    assert boxes.tolist() == [pytest.approx([0, 0, 100, 200])]
    scores, _, boxes = detect(seen((CAR, 0.05, [0.5, 0.5, 0.2, 0.2])), (CAR,), 0.1, 0.7)
    assert len(scores) == len(boxes) == 0
    assert len(detect(seen((CAR, 0.8, [0.5, 0.5, 0.2, 0.2])), (), 0.1, 0.7)[0]) == 0


def test_a_mask_ends_at_its_prompt_box() -> None:
    boxes = torch.tensor([[4.0, 2.0, 12.0, 6.0], [0.0, 0.0, 32.0, 16.0], [5.0, 5.0, 5.0, 5.0]])
    inside = within(boxes, (8, 16), (16, 32))  # cells of 2×2 pixels
    assert inside.sum((1, 2)).tolist() == [4 * 2, 8 * 16, 0]
    assert inside[0].any(1).nonzero().flatten().tolist() == [1, 2]
    assert inside[0].any(0).nonzero().flatten().tolist() == [2, 3, 4, 5]


def test_masks_come_from_the_mask_network_the_rest_from_the_detector(tmp_path: Path) -> None:
    network, contract = untrained(tmp_path)
    masks = masks_network()
    composite = CompositeTeacher(network, contract, masks, InputSpec(height=96, width=160))
    images, fx = [picture(), picture(50, 60)], [90.0, None]
    found = composite.label(images, fx)
    alone = NetworkTeacher(network, contract).label(images, fx)
    for one, other, image in zip(found, alone, images, strict=True):
        assert (one.height, one.width) == image.shape[:2]
        assert np.array_equal(one.semantic, other.semantic)
        assert one.depth_m is not None
        assert np.array_equal(one.depth_m, other.depth_m, equal_nan=True)
        assert one.soft_masks.shape == (len(one.labels), 48, 80)
        assert (np.diff(one.scores) <= 0).all()
    assert composite.parameters_m == pytest.approx(millions(network) + millions(masks))
    assert not any(parameter.requires_grad for parameter in masks.parameters())


def test_the_fingerprint_follows_both_networks_and_the_settings(tmp_path: Path) -> None:
    network, contract = untrained(tmp_path)
    spec = InputSpec(height=64, width=96)
    found = [
        CompositeTeacher(network, contract, masks_network(), spec).fingerprint,
        CompositeTeacher(network, contract, masks_network(1), spec).fingerprint,
        CompositeTeacher(untrained(tmp_path, 1)[0], contract, masks_network(), spec).fingerprint,
        CompositeTeacher(network, contract, masks_network(), spec, nms_iou=0.6).fingerprint,
        CompositeTeacher(network, contract, masks_network(), InputSpec(height=64, width=128)).fingerprint,
    ]
    assert len(set(found)) == len(found)
    assert CompositeTeacher(network, contract, masks_network(), spec).fingerprint == found[0]


def test_the_registry_opens_by_name_and_says_what_is_wrong(tmp_path: Path) -> None:
    instances = {'network', 'composite', 'grounded_sam2', 'onnx_boxes'}
    alone = {'network_segments', 'network_depth', 'sam_refiner', 'depth_anything', 'onnx_semantic'}
    assert set(TEACHERS) == {*instances, *alone}
    run = untrained_run(tmp_path, tmp_path / 'run')
    teacher = open_teacher('network', {'checkpoint': str(run)}, CLASSES)
    assert len(teacher.fingerprint) == 64
    with pytest.raises(TeacherError, match='known are composite, depth_anything, grounded_sam2, network, '):
        open_teacher('ema', {}, CLASSES)
    with pytest.raises(RecipeError, match="did you mean 'checkpoint'"):
        open_teacher('network', {'chekpoint': str(run)}, CLASSES)
    with pytest.raises(TeacherError, match='same data set'):
        open_teacher('network', {'checkpoint': str(run)}, CLASSES[:5])
    with pytest.raises(TeacherError, match=r'none/last\.pt: no such file.*fit-masks|none: no such file.*fit-masks'):
        open_teacher('composite', {'detector': str(run), 'masks': str(tmp_path / 'none')}, CLASSES)
    with pytest.raises(TeacherError, match='not a run of cast-train fit-masks'):
        open_teacher('composite', {'detector': str(run), 'masks': str(run)}, CLASSES)
