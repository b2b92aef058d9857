# SPDX-License-Identifier: Apache-2.0
"""Panoptic quality (Kirillov et al., CVPR 2019), from one sum over the whole data set.

Two heads become one panoptic map, and the ground truth in the same way: an instance is a segment of its own class;
elsewhere the semantic map speaks, one segment for each class of stuff. A pixel that the semantic map gives to a thing
and no instance owns belongs to nobody: no prediction on one side, void on the other.

Void pixels of the ground truth are taken out of the predicted segment before its IoU; a segment without a match is
forgiven when more than half of it lies on void, or on void and crowds of its class. Nothing else is forgiven: where the
answer says nothing, the true segment is missed as much as where it says something else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import IdMap, InstanceFrame, Labels
from cast_ros.offline.metrics.scores import Result
from cast_ros.offline.metrics.semantic import IGNORE, ClassMap, check_class_ids, check_class_names

LEAST_OVERLAP = 0.5
_IOU, _FOUND, _INVENTED, _MISSED = range(4)

Sums = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PanopticQuality:
    """PQ = SQ x RQ of one class, or the means of the three over classes; fractions of 1.

    Attributes:
        pq: sum of the IoU of matches / (matches + half of the invented + half of the missed).
        sq: mean IoU of the matches; 0 without a match.
        rq: F1 score of the segments.
    """

    pq: float
    sq: float
    rq: float


@dataclass(frozen=True)
class PanopticScores(Result):
    """Means over the classes that occur, in the answers or in the ground truth; None where no class does.

    Attributes:
        all: over all classes.
        things: over the classes that can be counted.
        stuff: over the others.
        per_class: by class name; None for a class that occurs on neither side.
        frames: pictures that were compared.
    """

    all: PanopticQuality | None
    things: PanopticQuality | None
    stuff: PanopticQuality | None
    per_class: dict[str, PanopticQuality | None]
    frames: int


class PanopticMetrics:
    """Collects the matched segments of pictures."""

    def __init__(self, class_names: Sequence[str], thing_ids: Collection[int]) -> None:
        """Start without a picture.

        Args:
            class_names: in the order of the class ids, which run from 0.
            thing_ids: of the classes that can be counted; the others are stuff.
        """
        self._names = check_class_names(class_names)
        unknown = sorted(set(thing_ids) - set(range(len(class_names))))
        if unknown:
            raise MetricError(f'things {unknown} are none of the classes 0..{len(class_names) - 1}')
        self._is_thing = np.isin(np.arange(len(class_names)), list(thing_ids))
        self._sums: Sums = np.zeros((len(class_names), 4))
        self._frames = 0

    def update(self, frame: InstanceFrame, semantic: ClassMap, true_semantic: ClassMap) -> Sums:
        """Add one picture, and return its own sums, as `panoptic_sums_of`.

        Args:
            frame: instances; rows of a class that is no thing belong to nobody.
            semantic: (H, W) predicted class ids, 255 unlabelled.
            true_semantic: (H, W) class ids, 255 void.

        Raises:
            MetricError: sizes differ, or an id is neither a class nor 255.
        """
        sums = panoptic_sums_of(frame, semantic, true_semantic, self._is_thing)
        self._sums += sums
        self._frames += 1
        return sums

    def compute(self) -> PanopticScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there is no panoptic quality')
        table = panoptic_quality(self._sums)
        return PanopticScores(
            all=_mean(table),
            things=_mean(table[self._is_thing]),
            stuff=_mean(table[~self._is_thing]),
            per_class={name: _mean(row[None]) for name, row in zip(self._names, table, strict=True)},
            frames=self._frames,
        )


def panoptic_sums_of(
    frame: InstanceFrame, semantic: ClassMap, true_semantic: ClassMap, is_thing: npt.NDArray[np.bool_]
) -> Sums:
    """(N, 4) of one picture, by class: sum of the IoU of matches, matches, invented and missed segments.

    Args:
        frame: instances.
        semantic: (H, W) predicted class ids, 255 unlabelled.
        true_semantic: (H, W) class ids, 255 void.
        is_thing: (N,) by class id.

    Raises:
        MetricError: sizes differ, or an id is neither a class nor 255.
    """
    answer, classes = _segments('predicted', frame.instance_ids, frame.labels, semantic, is_thing)
    truth, true_classes = _segments('true', frame.true_instance_ids, frame.true_labels, true_semantic, is_thing)
    pairs = np.bincount((truth * len(classes) + answer).ravel(), minlength=len(classes) * len(true_classes))
    shared = pairs.reshape(len(true_classes), len(classes))
    area, true_area = shared.sum(axis=0), shared.sum(axis=1)
    is_crowd = np.zeros(len(true_classes), bool)
    is_crowd[1 : len(frame.true_labels) + 1] = frame.true_is_crowd

    union = true_area[:, None] + (area - shared[0])[None, :] - shared
    same = (true_classes[:, None] == classes[None, :]) & (classes >= 0)[None, :] & ~is_crowd[:, None]
    iou = np.divide(shared, union, out=np.zeros(shared.shape), where=same & (union > 0))
    # Segments of one side do not overlap, so above a half nothing has two partners.
    rows, columns = np.nonzero(iou > LEAST_OVERLAP)

    missed = (true_classes >= 0) & (true_area > 0) & ~is_crowd
    missed[rows] = False
    on_crowd = (shared * (is_crowd[:, None] & (true_classes[:, None] == classes[None, :]))).sum(axis=0)
    invented = (classes >= 0) & (area > 0) & (shared[0] + on_crowd <= LEAST_OVERLAP * area)
    invented[columns] = False
    count = len(is_thing)
    return np.stack(
        [
            np.bincount(true_classes[rows], weights=iou[rows, columns], minlength=count),
            np.bincount(true_classes[rows], minlength=count),
            np.bincount(classes[invented], minlength=count),
            np.bincount(true_classes[missed], minlength=count),
        ],
        axis=1,
    )


def panoptic_quality(sums: Sums) -> npt.NDArray[np.float64]:
    """(N, 3) PQ, SQ and RQ by class, from (N, 4) sums of any pictures; NaN for a class that occurs nowhere."""
    found = sums[:, _FOUND]
    weight = found + 0.5 * sums[:, _INVENTED] + 0.5 * sums[:, _MISSED]
    nothing = np.full(len(sums), np.nan)
    return np.stack(
        [
            np.divide(sums[:, _IOU], weight, out=nothing.copy(), where=weight > 0),
            np.divide(sums[:, _IOU], found, out=np.where(weight > 0, 0.0, nothing), where=found > 0),
            np.divide(found, weight, out=nothing.copy(), where=weight > 0),
        ],
        axis=1,
    )


def mean_panoptic_quality(sums: Sums, counts: npt.NDArray[np.integer[Any]] | None = None) -> float | None:
    """Mean PQ of a subset or multiset of pictures over the classes that occur there; None if none does.

    Args:
        sums: (F, N, 4) of single pictures, from `panoptic_sums_of`.
        counts: (F,) how often each picture counts; once each by default.
    """
    mean = _mean(panoptic_quality(sums.sum(axis=0) if counts is None else np.tensordot(counts, sums, axes=1)))
    return None if mean is None else mean.pq


def _segments(
    whose: str, ids: IdMap, labels: Labels, semantic: ClassMap, is_thing: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(H, W) number of the segment and its class by number, -1 for nobody: first the rows, then the classes of stuff.

    Number 0 is nobody too.
    """
    if semantic.shape != ids.shape:
        raise MetricError(f'maps of one picture must have one size, are {semantic.shape} and {ids.shape}')
    count = len(is_thing)
    check_class_ids(whose, semantic, count)
    known = (labels >= 0) & (labels < count)
    classes = np.full(1 + len(labels) + count, -1, np.int64)
    classes[1 : len(labels) + 1][known] = np.where(is_thing[labels[known]], labels[known], -1)
    classes[len(labels) + 1 :] = np.where(is_thing, -1, np.arange(count))

    number_of_class = np.zeros(IGNORE + 1, np.int64)
    number_of_class[:count] = np.where(is_thing, 0, 1 + len(labels) + np.arange(count))
    numbers = np.where(ids > 0, ids, number_of_class[semantic]).astype(np.int64)
    # Rows of no thing join the nobodies, so that void has one number.
    return np.where(classes >= 0, np.arange(len(classes)), 0)[numbers], classes


def _mean(table: npt.NDArray[np.float64]) -> PanopticQuality | None:
    known = table[~np.isnan(table[:, 0])]
    return PanopticQuality(*known.mean(axis=0).tolist()) if len(known) else None
