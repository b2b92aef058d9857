# SPDX-License-Identifier: Apache-2.0
"""Post-processing of the peers against the drawn scene, and against a slow way that enlarges whole maps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.speed.postprocess import NMS_IOU, SCORE_THRESHOLD, enlarge_depth, paint_detr, paint_queries, paint_yolo
from benchmarks.speed.scene import OBJECTS, Scene

SIZE = (128, 256)
CLASSES = 80


@pytest.fixture
def scene() -> Scene:
    return Scene(*SIZE)


def enlarged(logits: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    return cv2.resize(logits, (size[1], size[0]))


def slowly_painted(masks: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """Ids from 1 of whole boolean masks, the first in front, and which masks show anywhere: others take no id."""
    ids = np.zeros(SIZE, np.uint16)
    shown = []
    for index, mask in enumerate(masks):
        own = mask & (ids == 0)
        if own.any():
            shown.append(index)
            ids[own] = len(shown)
    return ids, shown


def test_queries_paint_the_scene(scene: Scene) -> None:
    classes, masks = scene.queries((1, 100, CLASSES + 1), (1, 100, 32, 64))
    found = paint_queries(classes[0], masks[0], SIZE)
    drawn = scene.masks(32, 64).astype(float)
    inside = drawn > 0
    sure = (inside / (1 + np.exp(-drawn))).sum((1, 2)) / inside.sum((1, 2))
    order = np.argsort(-scene.scores * sure)
    expected, shown = slowly_painted([enlarged(scene.masks(32, 64)[index]) > 0 for index in order])
    np.testing.assert_array_equal(found.instance_ids, expected)
    np.testing.assert_allclose(found.scores, (scene.scores * sure)[order[shown]], rtol=1e-5)
    assert found.labels.tolist() == order[shown].tolist()


def test_a_query_counts_by_its_class_and_by_how_sure_its_mask_is() -> None:
    classes = np.full((3, 3), -20.0, np.float32)
    classes[0, 1], classes[1, 0], classes[2, 2] = 20.0, 20.0, 20.0  # the third is no object
    masks = np.full((3, 8, 8), -8.0, np.float32)
    masks[0, 2:6, 2:6] = np.log(0.7 / 0.3)
    masks[1, 0, 0] = 8.0
    masks[2] = 8.0
    found = paint_queries(classes, masks, (8, 8))
    assert found.labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-8)), 0.7], rtol=1e-5)
    assert (found.instance_ids[2:6, 2:6] == 2).all()
    assert found.instance_ids[0, 0] == 1


def test_detr_paints_the_scene_from_masks_of_another_shape(scene: Scene) -> None:
    classes, masks = scene.detr((1, 100, 91), (1, 100, 78, 78))
    found = paint_detr(classes[0], masks[0], SIZE)
    expected, shown = slowly_painted([enlarged(mask) > 0 for mask in scene.masks(78, 78)])
    assert (found.instance_ids != expected).mean() < 1e-4  # the edge of a map that no whole factor enlarges
    np.testing.assert_allclose(found.scores, scene.scores[shown], rtol=1e-5)
    assert found.labels.tolist() == shown


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of two boxes centre x, y, width, height."""
    low = np.maximum(first[:2] - first[2:] / 2, second[:2] - second[2:] / 2)
    high = np.minimum(first[:2] + first[2:] / 2, second[:2] + second[2:] / 2)
    shared = np.prod(np.clip(high - low, 0, None))
    return float(shared / (np.prod(first[2:]) + np.prod(second[2:]) - shared))


def slow_yolo(detections: np.ndarray, prototypes: np.ndarray) -> tuple[list[int], list[float], np.ndarray, list[int]]:
    """Greedy suppression by definition; whole masks, cut to their boxes at the size of the prototypes."""
    candidates = []
    for column in detections.T.astype(float):
        label = int(column[4 : 4 + CLASSES].argmax())
        if column[4 + label] >= SCORE_THRESHOLD:
            candidates.append((column[4 + label], label, column))
    kept: list[tuple[float, int, np.ndarray]] = []
    for score, label, column in sorted(candidates, key=lambda one: -one[0]):
        if all(label != other or overlap(column[:4], box[:4]) <= NMS_IOU for _, other, box in kept):
            kept.append((score, label, column))
    masks = []
    height, width = prototypes.shape[1:]
    factor = np.array([width / SIZE[1], height / SIZE[0]])
    for _, _, column in kept:
        logits = np.tensordot(column[4 + CLASSES :], prototypes.astype(float), 1).astype(np.float32)
        low = np.clip(np.rint((column[:2] - column[2:4] / 2) * factor), 0, [width, height]).astype(int)
        high = np.clip(np.rint((column[:2] + column[2:4] / 2) * factor), 0, [width, height]).astype(int)
        cut = np.full_like(logits, -1.0)
        cut[low[1] : high[1], low[0] : high[0]] = logits[low[1] : high[1], low[0] : high[0]]
        masks.append(enlarged(cut) > 0)
    return [label for _, label, _ in kept], [score for score, _, _ in kept], *slowly_painted(masks)


def test_yolo_agrees_with_the_slow_way_on_the_scene(scene: Scene) -> None:
    detections, prototypes = scene.yolo((1, 4 + CLASSES + 32, 672), (1, 32, 32, 64), CLASSES)
    labels, scores, ids, shown = slow_yolo(detections[0], prototypes[0])
    found = paint_yolo(detections[0], prototypes[0], SIZE, CLASSES)
    np.testing.assert_array_equal(found.instance_ids, ids)
    assert labels == list(range(OBJECTS))
    assert found.labels.tolist() == shown
    np.testing.assert_allclose(found.scores, np.array(scores)[shown], rtol=1e-5)


def test_yolo_agrees_with_the_slow_way_on_noise() -> None:
    rng = np.random.default_rng(3)
    detections = np.zeros((4 + CLASSES + 32, 200), np.float32)
    detections[:2] = rng.uniform(0, [[SIZE[1]], [SIZE[0]]], (2, 200))
    detections[2:4] = rng.uniform(4, 90, (2, 200))
    detections[4 : 4 + 3] = rng.random((3, 200)) * 0.6
    detections[4 + CLASSES :] = rng.normal(size=(32, 200))
    prototypes = rng.normal(size=(32, 32, 64)).astype(np.float32)
    _, _, ids, _ = slow_yolo(detections, prototypes)
    found = paint_yolo(detections, prototypes, SIZE, CLASSES)
    assert ids.max() > 20
    assert (found.instance_ids != ids).mean() < 0.002  # a logit of zero falls to either side by rounding


def test_nothing_found_paints_nothing() -> None:
    nothing = paint_yolo(
        np.zeros((4 + CLASSES + 32, 10), np.float32), np.zeros((32, 32, 64), np.float32), SIZE, CLASSES
    )
    assert nothing.instance_ids.shape == SIZE
    assert not nothing.instance_ids.any()
    no_object = np.full((5, 4), -8.0, np.float32)
    no_object[:, -1] = 8.0
    assert len(paint_queries(no_object, np.ones((5, 8, 8), np.float32), SIZE).scores) == 0


def test_a_box_outside_of_the_picture_paints_nothing() -> None:
    detections = np.zeros((4 + CLASSES + 32, 1), np.float32)
    detections[:5, 0] = [-500, -500, 20, 20, 0.9]
    detections[4 + CLASSES :, 0] = 1.0
    assert not paint_yolo(detections, np.ones((32, 32, 64), np.float32), SIZE, CLASSES).instance_ids.any()


def test_depth_takes_the_size_of_the_picture() -> None:
    depth = np.full((126, 252), 3.5, np.float32)
    assert enlarge_depth(depth, SIZE).shape == SIZE
    np.testing.assert_allclose(enlarge_depth(depth, SIZE), 3.5)
