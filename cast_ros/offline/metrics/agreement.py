# SPDX-License-Identifier: Apache-2.0
"""How much two answers to the same picture agree, where nobody knows the truth. Neither side is preferred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.depth import DepthMap
from cast_ros.offline.metrics.frames import IdMap, InstanceFrame, Labels
from cast_ros.offline.metrics.scores import FloatArray, Result, by_name, mean_known
from cast_ros.offline.metrics.semantic import IGNORE, ClassMap, check_class_ids, check_class_names

if TYPE_CHECKING:
    from cast_ros.student.prediction import Prediction

LEAST_OVERLAP = 0.5

Pairs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AgreementScores(Result):
    """Fractions of 1; None where one side has no such head, or there was nothing to compare.

    Attributes:
        miou: mean IoU of the two semantic maps over the classes that either has, from the pixels of all pictures.
        per_class: that IoU by class name; None for a class that neither has.
        instance_iou: mean best IoU of all instances of both sides with one of the same class on the other side.
        instance_f1: 2 x pairs of one class with IoU of at least 0.5 / instances of both sides.
        depth_log_ratio: median |ln(depth a / depth b)| of a picture, mean over pictures.
        frames: pictures that were compared.
    """

    miou: float | None
    per_class: dict[str, float | None]
    instance_iou: float | None
    instance_f1: float | None
    depth_log_ratio: float | None
    frames: int


class AgreementMetrics:
    """Collects pictures that two students have answered. Instances count as given: cut them by score before."""

    def __init__(self, class_names: Sequence[str]) -> None:
        """Start without a picture.

        Args:
            class_names: in the order of the class ids of both students, which run from 0.
        """
        self._names = check_class_names(class_names)
        self._pairs: Pairs = np.zeros((len(self._names) + 1,) * 2, np.int64)
        self._best: list[float] = []
        self._matches = 0
        self._log_ratios: list[float] = []
        self._frames = 0

    def update(self, one: Prediction, other: Prediction) -> None:
        """Add one picture; only the heads that both have are compared.

        Raises:
            MetricError: sizes differ, or an id is neither a class nor 255.
        """
        pairs, overlap, ratios = np.zeros_like(self._pairs), np.zeros((0, 0)), np.zeros(0)
        if one.semantic is not None and other.semantic is not None:
            pairs = semantic_pairs_of(one.semantic, other.semantic, len(self._names))
        if one.instance_ids is not None and other.instance_ids is not None:
            assert one.labels is not None
            assert other.labels is not None
            overlap = same_class_iou(one.instance_ids, one.labels, other.instance_ids, other.labels)
        if one.depth is not None and other.depth is not None:
            ratios = log_depth_ratios(one.depth, other.depth)
        # Only now: a picture that was refused must leave nothing behind.
        self._pairs += pairs
        self._best += [*overlap.max(axis=1, initial=0.0).tolist(), *overlap.max(axis=0, initial=0.0).tolist()]
        self._matches += _matches(overlap)
        self._log_ratios += [float(np.median(ratios))] if ratios.size else []
        self._frames += 1

    def compute(self) -> AgreementScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there is no agreement')
        iou = symmetric_iou(self._pairs)
        return AgreementScores(
            miou=mean_known(iou),
            per_class=by_name(self._names, iou),
            instance_iou=float(np.mean(self._best)) if self._best else None,
            instance_f1=2 * self._matches / len(self._best) if self._best else None,
            depth_log_ratio=float(np.mean(self._log_ratios)) if self._log_ratios else None,
            frames=self._frames,
        )


def semantic_pairs_of(one: ClassMap, other: ClassMap, class_count: int) -> Pairs:
    """(N+1, N+1) pixels by both classes; the last row and column are unlabelled.

    Args:
        one: integer class ids, 255 unlabelled, of any shape.
        other: of the same shape.
        class_count: N; the ids run from 0.

    Raises:
        MetricError: shapes differ, or an id is neither a class nor 255.
    """
    if one.shape != other.shape:
        raise MetricError(f'maps of one picture must have one size, are {one.shape} and {other.shape}')
    check_class_ids('the first', one, class_count)
    check_class_ids('the second', other, class_count)
    places = np.arange(IGNORE + 1)
    places[IGNORE] = class_count
    pairs = np.bincount((places[one] * (class_count + 1) + places[other]).ravel(), minlength=(class_count + 1) ** 2)
    return pairs.reshape(class_count + 1, class_count + 1)


def symmetric_iou(pairs: Pairs) -> FloatArray:
    """(N,) IoU of each class from the (N+1, N+1) pairs; NaN for a class that neither side has."""
    both = np.diagonal(pairs)[:-1].astype(np.float64)
    either = pairs.sum(axis=0)[:-1] + pairs.sum(axis=1)[:-1] - both
    iou: FloatArray = np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0)
    return iou


def same_class_iou(ids: IdMap, labels: Labels, other_ids: IdMap, other_labels: Labels) -> FloatArray:
    """(K, L) IoU of instances that own a pixel, 0 between classes.

    Args:
        ids: (H, W) integer, 0 none, k is row k-1 of `labels`.
        labels: (R,) integer class ids.
        other_ids: (H, W) integer.
        other_labels: (S,) integer class ids.

    Raises:
        MetricError: sizes differ, or an id has no row.
    """
    frame = InstanceFrame(other_ids, other_labels, np.zeros(len(other_labels)), ids, labels)
    shared = frame.overlaps()
    area, other_area = shared.sum(axis=1)[1:], shared.sum(axis=0)[1:]
    rows, columns = np.flatnonzero(area), np.flatnonzero(other_area)
    both = shared[1:, 1:][np.ix_(rows, columns)]
    same = labels[rows][:, None] == other_labels[columns][None, :]
    return np.where(same, both / (area[rows][:, None] + other_area[columns][None, :] - both), 0.0)


def log_depth_ratios(depth: DepthMap, other: DepthMap) -> FloatArray:
    """|ln(depth / other)| of the pixels where both are finite and positive.

    Raises:
        MetricError: shapes differ.
    """
    if depth.shape != other.shape:
        raise MetricError(f'maps of one picture must have one size, are {depth.shape} and {other.shape}')
    known = np.isfinite(depth) & np.isfinite(other) & (depth > 0) & (other > 0)
    ratios: FloatArray = np.abs(np.log(depth[known].astype(np.float64) / other[known]))
    return ratios


def _matches(overlap: FloatArray) -> int:
    """Pairs one to one; masks of one side do not overlap, so only at exactly a half there is a choice."""
    found = 0
    free = np.ones(overlap.shape[1], bool)
    for row in overlap:
        reached = np.flatnonzero(free & (row >= LEAST_OVERLAP))
        if reached.size:
            free[reached[row[reached].argmax()]] = False
            found += 1
    return found
