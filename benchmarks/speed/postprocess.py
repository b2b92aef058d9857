# SPDX-License-Identifier: Apache-2.0
"""From the raw outputs of other people's networks to instances and depth at the size of the picture.

All masks are painted by the painter of our own runtime, which enlarges no more of a map than an object can reach: it is
a hundred times faster than what the peers' packages do, so the peers are not charged for their packages.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cast_ros.student import InputGeometry
from cast_ros.student.geometry import MapSampler
from cast_ros.student.postprocessing import Instances, paint_instances

FloatArray = npt.NDArray[np.float32]

SCORE_THRESHOLD = 0.5
NMS_IOU = 0.7
MAX_DETECTIONS = 100
# Outside of its box a mask of YOLO is cut off.
OUTSIDE = -1.0


def paint_yolo(detections: FloatArray, prototypes: FloatArray, size: tuple[int, int], classes: int) -> Instances:
    """Suppress overlapping boxes of a class, then paint each mask inside its box.

    Args:
        detections: (4 + classes + P, A): centre x, y, width, height in pixels; probabilities; coefficients.
        prototypes: (P, h, w).
        size: height and width of the picture, which is also what the network saw.
        classes: number of classes.
    """
    probabilities = detections[4 : 4 + classes]
    found = np.flatnonzero(probabilities.max(0) >= SCORE_THRESHOLD)
    labels = probabilities[:, found].argmax(0)
    scores = probabilities[labels, found]
    boxes = detections[:4, found].T.copy()
    boxes[:, :2] -= boxes[:, 2:] / 2
    kept = np.asarray(
        cv2.dnn.NMSBoxesBatched(boxes, scores, labels.astype(np.int32), SCORE_THRESHOLD, NMS_IOU), dtype=np.intp
    )[:MAX_DETECTIONS]
    coefficients = detections[4 + classes :, found[kept]].T
    masks = _boxed_masks(boxes[kept], np.ascontiguousarray(coefficients), prototypes, size)
    return _paint(scores[kept], labels[kept], masks, size, classes)


def _boxed_masks(
    boxes: FloatArray, coefficients: FloatArray, prototypes: FloatArray, size: tuple[int, int]
) -> FloatArray:
    """(K, h, w) logits, computed inside of boxes x, y, width, height alone."""
    height, width = prototypes.shape[1:]
    masks = np.full((len(boxes), height, width), OUTSIDE, dtype=np.float32)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) * np.tile(
        [width / size[1], height / size[0]], 2
    )
    limits = np.array([width, height, width, height])
    for mask, row, (left, top, right, bottom) in zip(
        masks, coefficients, np.clip(np.rint(corners), 0, limits).astype(int), strict=True
    ):
        if left < right and top < bottom:
            area = prototypes[:, top:bottom, left:right].reshape(len(row), -1)
            # Not numpy's product, whose threads fight with those of onnxruntime for the cores.
            mask[top:bottom, left:right] = cv2.gemm(row[None], area, 1, None, 0).reshape(bottom - top, right - left)
    return masks


def paint_queries(class_logits: FloatArray, mask_logits: FloatArray, size: tuple[int, int]) -> Instances:
    """The best (query, class) pairs of a network of Mask2Former's kind, by class × mean probability inside the mask.

    Args:
        class_logits: (N, C+1), the last is no object.
        mask_logits: (N, h, w).
        size: height and width of the picture.
    """
    shifted = np.exp(class_logits - class_logits.max(1, keepdims=True))
    probabilities = (shifted / shifted.sum(1, keepdims=True))[:, :-1]
    queries, labels, scores = _best_pairs(probabilities)
    masks = mask_logits[queries]
    for row, mask in enumerate(masks):
        inside = mask[mask > 0]
        scores[row] *= float((1 / (1 + np.exp(-inside))).mean()) if inside.size else 0.0
    return _paint(scores, labels, masks, size, probabilities.shape[1])


def paint_detr(class_logits: FloatArray, mask_logits: FloatArray, size: tuple[int, int]) -> Instances:
    """The best (query, class) pairs of RF-DETR, whose classes have a sigmoid each; else as ``paint_queries``."""
    probabilities = (1 / (1 + np.exp(-class_logits))).astype(np.float32)
    queries, labels, scores = _best_pairs(probabilities)
    return _paint(scores, labels, mask_logits[queries], size, probabilities.shape[1])


def enlarge_depth(depth: FloatArray, size: tuple[int, int]) -> FloatArray:
    """(h, w) to the height and width of the picture."""
    return np.asarray(cv2.resize(depth, (size[1], size[0])), dtype=np.float32)


def _best_pairs(probabilities: FloatArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Query, class and score of the best pairs that reach the threshold, best first."""
    flat = probabilities.ravel()
    count = min(MAX_DETECTIONS, flat.size)
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[flat[best] >= SCORE_THRESHOLD]
    best = best[np.argsort(-flat[best], kind='stable')]
    queries, labels = np.divmod(best, probabilities.shape[1])
    return queries, labels, flat[best]


def _paint(
    scores: FloatArray, labels: npt.NDArray[Any], masks: FloatArray, size: tuple[int, int], classes: int
) -> Instances:
    sampler = sampler_for(size, (int(masks.shape[1]), int(masks.shape[2])))
    return paint_instances(
        scores, labels.astype(np.int64), np.ascontiguousarray(masks), sampler, tuple(range(classes)), SCORE_THRESHOLD
    )


def sampler_for(size: tuple[int, int], map_size: tuple[int, int]) -> MapSampler:
    """How a map that spans the whole picture is read at its pixels; sizes are height and width."""
    return InputGeometry(*size, *map_size, *map_size).to_image_maps(*map_size)
