# SPDX-License-Identifier: Apache-2.0
"""Intersection over union of the semantic map, from one confusion matrix over the whole data set.

Averaging the IoU of single pictures would never count a class that is found where it is absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.scores import Result, by_name, mean_known

IGNORE = 255

ClassMap = npt.NDArray[np.integer[Any]]
Confusion = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class SemanticScores(Result):
    """Fractions of 1; None where the ground truth has no pixel.

    Attributes:
        miou: mean IoU over the classes that have ground truth.
        pixel_accuracy: part of the labelled pixels that has the right class.
        mean_accuracy: mean recall over the classes that have ground truth.
        per_class: IoU by class name, None for a class without ground truth.
        confusion: (N, N+1) int64 pixels, true class by predicted class; the last column is unlabelled.
        frames: pictures that were compared.
    """

    miou: float | None
    pixel_accuracy: float | None
    mean_accuracy: float | None
    per_class: dict[str, float | None]
    confusion: npt.NDArray[np.int64]
    frames: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON, the confusion matrix as nested lists."""
        return {**vars(self), 'confusion': self.confusion.tolist()}


class SemanticMetrics:
    """Collects pictures in a confusion matrix. A true 255 is ignored; a predicted 255 is always wrong."""

    def __init__(self, class_names: Sequence[str]) -> None:
        """Start without a picture.

        Args:
            class_names: in the order of the class ids, which run from 0.
        """
        self._names = check_class_names(class_names)
        self._confusion = np.zeros((len(class_names), len(class_names) + 1), dtype=np.int64)
        self._frames = 0

    def update(self, semantic: ClassMap, true_semantic: ClassMap) -> Confusion:
        """Add one picture, and return its own confusion, as `confusion_of`.

        Args:
            semantic: (H, W) predicted class ids, 255 unlabelled.
            true_semantic: (H, W) class ids, 255 ignored.

        Raises:
            MetricError: sizes differ, or an id is neither a class nor 255.
        """
        confusion = confusion_of(semantic, true_semantic, len(self._names))
        self._confusion += confusion
        self._frames += 1
        return confusion

    def compute(self) -> SemanticScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there is no IoU')
        right = np.diagonal(self._confusion).astype(np.float64)
        true_pixels = self._confusion.sum(axis=1)
        iou = class_iou(self._confusion)
        recall = np.divide(right, true_pixels, out=np.full_like(right, np.nan), where=true_pixels > 0)
        labelled = int(true_pixels.sum())
        return SemanticScores(
            miou=mean_known(iou),
            pixel_accuracy=float(right.sum() / labelled) if labelled else None,
            mean_accuracy=mean_known(recall),
            per_class=by_name(self._names, iou),
            confusion=self._confusion.copy(),
            frames=self._frames,
        )


def confusion_of(semantic: ClassMap, true_semantic: ClassMap, class_count: int) -> Confusion:
    """(N, N+1) pixels of one picture, true class by predicted class; the last column is unlabelled.

    Args:
        semantic: (H, W) predicted class ids, 255 unlabelled.
        true_semantic: (H, W) class ids, 255 ignored.
        class_count: N; the ids run from 0.

    Raises:
        MetricError: sizes differ, or an id is neither a class nor 255.
    """
    check_class_maps(semantic, true_semantic, class_count)
    labelled = true_semantic != IGNORE
    truth, answer = true_semantic[labelled].astype(np.int64), semantic[labelled].astype(np.int64)
    answer[answer == IGNORE] = class_count
    pairs = np.bincount(truth * (class_count + 1) + answer, minlength=class_count * (class_count + 1))
    return pairs.reshape(class_count, class_count + 1)


def class_iou(confusion: Confusion) -> npt.NDArray[np.float64]:
    """(N,) IoU of each class from an (N, N+1) confusion matrix; NaN for a class without ground truth."""
    right = np.diagonal(confusion).astype(np.float64)
    true_pixels = confusion.sum(axis=1)
    union = true_pixels + confusion[:, :-1].sum(axis=0) - right
    iou: npt.NDArray[np.float64] = np.divide(right, union, out=np.full_like(right, np.nan), where=true_pixels > 0)
    return iou


def mean_iou(confusions: Confusion, counts: npt.NDArray[np.integer[Any]] | None = None) -> float | None:
    """Mean IoU of a subset or multiset of pictures, over the classes that have ground truth there; None if none has.

    Args:
        confusions: (F, N, N+1) of single pictures, from `confusion_of`.
        counts: (F,) how often each picture counts; once each by default.
    """
    total = confusions.sum(axis=0) if counts is None else np.tensordot(counts, confusions, axes=1)
    return mean_known(class_iou(total))


def check_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """The names, if there is one and all fit beside 255.

    Raises:
        MetricError: there is none, or there are more than 255.
    """
    if not class_names:
        raise MetricError('no class to evaluate')
    if len(class_names) > IGNORE:
        raise MetricError(f'at most {IGNORE} classes fit beside unlabelled, there are {len(class_names)}')
    return tuple(class_names)


def check_class_maps(semantic: ClassMap, true_semantic: ClassMap, class_count: int) -> None:
    """Refuse maps that cannot be compared.

    Raises:
        MetricError: sizes differ, or an id is neither a class nor 255.
    """
    if semantic.shape != true_semantic.shape or semantic.ndim != 2:
        raise MetricError(f'maps of one picture must have one size, are {semantic.shape} and {true_semantic.shape}')
    check_class_ids('true', true_semantic, class_count)
    check_class_ids('predicted', semantic, class_count)


def check_class_ids(whose: str, ids: ClassMap, class_count: int) -> None:
    """Refuse ids that are neither one of 0..class_count-1 nor 255; `whose` names them.

    Raises:
        MetricError: there is one.
    """
    wrong = ids[(ids != IGNORE) & ((ids < 0) | (ids >= class_count))]
    if wrong.size:
        raise MetricError(f'{whose} class id {int(wrong[0])} is neither one of 0..{class_count - 1} nor {IGNORE}')
