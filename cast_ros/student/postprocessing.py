# SPDX-License-Identifier: Apache-2.0
"""From the raw outputs of the network to masks, a semantic map and metric depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cast_ros.student.contract import UNLABELLED, StudentContract
from cast_ros.student.geometry import FloatMap, MapSampler

# A network that saturates at its cap comes back from interpolation a rounding error below it.
_CAP_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Instances:
    """Rows and id map that agree; see `cast_ros.student.prediction.Prediction` for shapes."""

    boxes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    instance_ids: npt.NDArray[np.uint16]


def paint_instances(
    scores: FloatMap,
    labels: npt.NDArray[np.int64],
    masks: FloatMap,
    sampler: MapSampler,
    thing_ids: tuple[int, ...],
    score_threshold: float,
) -> Instances:
    """Paint the rows from the best to the worst, each where nobody painted before.

    A row is left out when its score is below the threshold or not finite, its label is not a thing, its logits are not
    finite, or no pixel is left for it.

    Args:
        scores: (K,) float32.
        labels: (K,) int64.
        masks: (K, h, w) float32 logits, foreground above zero.
        sampler: reads maps of h x w at the pixels of the answer.
        thing_ids: the labels that are allowed.
        score_threshold: the lowest score that is kept.
    """
    # Rows are at most a hundred: the contest fits in bytes, half of what the answer takes.
    ids = np.zeros((sampler.height, sampler.width), dtype=np.uint8)
    rows: list[int] = []
    boxes: list[tuple[int, int, int, int]] = []
    usable = np.isfinite(scores) & (scores >= score_threshold) & np.isin(labels, thing_ids)
    for row in np.argsort(-scores, kind='stable'):
        if not usable[row]:
            continue
        box = _paint(ids, masks[row], sampler, len(rows) + 1)
        if box is not None:
            rows.append(int(row))
            boxes.append(box)
    return Instances(
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=labels[rows],
        scores=scores[rows],
        instance_ids=ids.astype(np.uint16),
    )


def _paint(
    ids: npt.NDArray[np.uint8], logits: FloatMap, sampler: MapSampler, number: int
) -> tuple[int, int, int, int] | None:
    """Paint one row; its box x0 y0 x1 y1 before the contest, or None when it owns no pixel.

    Only the cells around positive logits are enlarged: bilinear reading cannot be positive anywhere else.
    """
    column, row, width, height = cv2.boundingRect((logits > 0).view(np.uint8))
    if width == 0 or not np.isfinite(logits).all():
        return None
    top, left, window = sampler.linear_window(logits, (row, row + height), (column, column + width))
    mask = window > 0
    area = ids[top : top + mask.shape[0], left : left + mask.shape[1]]
    own = mask & (area == 0)
    if not own.any():
        return None
    # A third of what np.copyto takes for its `where`.
    cv2.copyTo(np.full_like(area, number), own.view(np.uint8), area)
    column, row, width, height = cv2.boundingRect(mask.view(np.uint8))
    return left + column, top + row, left + column + width, top + row + height


def read_semantic(semantic: npt.NDArray[np.uint8], sampler: MapSampler, class_count: int) -> npt.NDArray[np.uint8]:
    """(h, w) class ids to the size of the answer; an id that no class has becomes 255."""
    known = np.where(semantic < class_count, semantic, np.uint8(UNLABELLED))
    return np.asarray(sampler.nearest(known), dtype=np.uint8)


def read_depth(
    depth: FloatMap, sampler: MapSampler, scale: float, cap_m: float, sky: npt.NDArray[np.bool_] | None
) -> FloatMap:
    """(h, w) depth of the network to metres at the size of the answer.

    Args:
        depth: (h, w) float32, metres for the reference camera; not finite or not positive means invalid.
        sampler: reads maps of h x w at the pixels of the answer.
        scale: factor from the reference camera to this one.
        cap_m: from there on the answer is +Inf.
        sky: (H, W) bool at the size of the answer, +Inf there; None when unknown.

    Returns:
        (H, W) float32, NaN invalid, +Inf sky or beyond the cap.
    """
    invalid = ~(np.isfinite(depth) & (depth > 0))
    if invalid.any():
        depth = np.where(invalid, np.float32(np.nan), depth)
    farthest_m = cap_m * (1.0 - _CAP_TOLERANCE)
    scaled = depth * np.float32(scale)
    reaches_cap = bool((scaled >= farthest_m).any())
    metres = sampler.linear(scaled)
    if reaches_cap:
        np.copyto(metres, np.float32(np.inf), where=metres >= farthest_m)
    if sky is not None:
        np.copyto(metres, np.float32(np.inf), where=sky)
    return metres


def sky_mask(semantic: npt.NDArray[np.uint8], contract: StudentContract) -> npt.NDArray[np.bool_] | None:
    """(H, W) bool, where the semantic map says sky; None when the student has no such class."""
    sky_id = contract.sky_id
    return None if sky_id is None else semantic == sky_id
