# SPDX-License-Identifier: Apache-2.0
"""The instances of one picture, predicted and true, as every instance metric takes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError

IdMap = npt.NDArray[np.integer[Any]]
Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class InstanceFrame:
    """Predicted and true instances of one picture, in the same class ids.

    Attributes:
        instance_ids: (H, W) integer, 0 none, k is row k-1 of `labels` and `scores`.
        labels: (K,) integer class ids.
        scores: (K,) finite.
        true_instance_ids: (H, W) integer, 0 none, k is row k-1 of `true_labels`.
        true_labels: (T,) integer class ids.
        true_is_crowd: (T,) bool, rows that stand for a group which nobody separated; none by default.
        void: (H, W) bool, where nobody knows what is there; nowhere by default.
    """

    instance_ids: IdMap
    labels: Labels
    scores: npt.NDArray[np.floating[Any]]
    true_instance_ids: IdMap
    true_labels: Labels
    true_is_crowd: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    void: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.true_is_crowd.size == 0:
            object.__setattr__(self, 'true_is_crowd', np.zeros(len(self.true_labels), dtype=bool))
        shapes = [array.shape for array in (self.instance_ids, self.true_instance_ids, self.void) if array is not None]
        if len(set(shapes)) != 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
            raise MetricError(f'maps of one picture must be H x W and of one size, are {shapes}')
        if self.labels.shape != self.scores.shape or self.labels.ndim != 1:
            raise MetricError(f'labels {self.labels.shape} and scores {self.scores.shape} must be one row each')
        if self.true_is_crowd.shape != self.true_labels.shape or self.true_labels.ndim != 1:
            raise MetricError(f'{self.true_labels.shape} true labels do not fit {self.true_is_crowd.shape} crowd flags')
        if not np.isfinite(self.scores).all():
            raise MetricError('scores must be finite')
        _check_ids('predicted', self.instance_ids, len(self.labels))
        _check_ids('true', self.true_instance_ids, len(self.true_labels))

    def overlaps(self) -> npt.NDArray[np.int64]:
        """(T+1, K+1) pixels that true row t-1 and predicted row k-1 share; 0 stands for no instance."""
        rows, columns = len(self.true_labels) + 1, len(self.labels) + 1
        pairs = self.true_instance_ids.astype(np.int64) * columns + self.instance_ids
        return np.bincount(pairs.ravel(), minlength=rows * columns).reshape(rows, columns)


def _check_ids(whose: str, ids: IdMap, rows: int) -> None:
    if ids.dtype.kind not in 'iu':
        raise MetricError(f'{whose} instance ids must be integers, are {ids.dtype}')
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest > rows:
        raise MetricError(f'{whose} instance ids must lie in 0..{rows} (the number of rows), are {lowest}..{highest}')
