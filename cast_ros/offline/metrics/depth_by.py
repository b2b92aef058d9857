# SPDX-License-Identifier: Apache-2.0
"""Where depth is wrong: by distance, and inside the true instances of each class.

Other than in `depth.py` beside it, pixels of all pictures are pooled: most pictures lack most bins, and a mean over
pictures would give a bin's few pixels in one of them the weight of thousands in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.depth import DepthMap, Scaling, check_depth_options, compare_depth
from cast_ros.offline.metrics.frames import IdMap, Labels
from cast_ros.offline.metrics.scores import Result
from cast_ros.offline.metrics.semantic import check_class_names

DISTANCE_EDGES_M = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0)

Sums = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DepthPart:
    """The errors of some pixels; None without a pixel that has an answer.

    Attributes:
        abs_rel: mean |error| / true.
        rmse: root of the mean squared error, metres.
        pixels: valid pixels that have an answer.
    """

    abs_rel: float | None
    rmse: float | None
    pixels: int


@dataclass(frozen=True)
class DepthByScores(Result):
    """Errors of parts of the pictures.

    Attributes:
        by_distance: by true depth, the farther edge belonging to the bin: `0-5 m`, `5-10 m`, ...
        by_class: inside true instances, by class name; crowds are left out.
        frames: pictures that were compared.
        cap_m: as in `DepthScores`.
        scaling: as in `DepthScores`.
        scale_ratio_median: over the pictures, of median(true) / median(predicted), whether it was applied or not.
    """

    by_distance: dict[str, DepthPart]
    by_class: dict[str, DepthPart]
    frames: int
    cap_m: float
    scaling: Scaling
    scale_ratio_median: float | None


class DepthByMetrics:
    """Collects sums by distance and by class."""

    def __init__(
        self,
        class_names: Sequence[str],
        cap_m: float,
        scaling: Scaling = 'none',
        edges_m: Sequence[float] = DISTANCE_EDGES_M,
    ) -> None:
        """Start without a picture.

        Args:
            class_names: in the order of the class ids, which run from 0.
            cap_m: the farthest ground truth that counts.
            scaling: `none` or `median`, of whole pictures.
            edges_m: of the bins, rising.
        """
        check_depth_options(cap_m, scaling)
        if len(edges_m) < 2 or any(not 0 <= near < far for near, far in pairwise(edges_m)):
            raise MetricError(f'edges of distance must rise from 0 or more, are {list(edges_m)}')
        self._names = check_class_names(class_names)
        self._cap_m = cap_m
        self._scaling: Scaling = scaling
        self._edges_m = np.array(edges_m, np.float64)
        self._by_distance: Sums = np.zeros((len(edges_m) - 1, 3))
        self._by_class: Sums = np.zeros((len(self._names), 3))
        self._ratios: list[float] = []
        self._frames = 0

    def update(
        self,
        depth: DepthMap,
        true_depth: DepthMap,
        true_instance_ids: IdMap | None = None,
        true_labels: Labels | None = None,
        true_is_crowd: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Add one picture.

        Args:
            depth: (H, W) metres, as in `DepthMetrics`.
            true_depth: (H, W) metres.
            true_instance_ids: (H, W) integer, 0 none, k is row k-1 of `true_labels`; without it, distance alone.
            true_labels: (T,) integer class ids.
            true_is_crowd: (T,) bool; none by default.

        Raises:
            MetricError: sizes differ, or an id has no row.
        """
        compared = compare_depth(depth, true_depth, self._cap_m, self._scaling)
        bins = np.searchsorted(self._edges_m, compared.truth, side='left') - 1
        by_distance = sums_by(bins, compared.answer, compared.truth, len(self._by_distance))
        if true_instance_ids is not None and true_labels is not None:
            class_map = _class_map(true_instance_ids, true_labels, true_is_crowd, true_depth.shape)
            classes = class_map[compared.valid][compared.answered]
            self._by_class += sums_by(classes, compared.answer, compared.truth, len(self._names))
        self._by_distance += by_distance
        self._ratios += [] if compared.scale_ratio is None else [compared.scale_ratio]
        self._frames += 1

    def compute(self) -> DepthByScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there is no depth error')
        bins = [f'{near:g}-{far:g} m' for near, far in pairwise(self._edges_m)]
        return DepthByScores(
            by_distance={name: _part(row) for name, row in zip(bins, self._by_distance, strict=True)},
            by_class={name: _part(row) for name, row in zip(self._names, self._by_class, strict=True)},
            frames=self._frames,
            cap_m=self._cap_m,
            scaling=self._scaling,
            scale_ratio_median=float(np.median(self._ratios)) if self._ratios else None,
        )


def sums_by(
    part: npt.NDArray[np.integer[Any]], answer: npt.NDArray[np.float64], truth: npt.NDArray[np.float64], parts: int
) -> Sums:
    """(P, 3) pixels, sum of |error| / true, and sum of squared error in metres squared; other numbers are left out."""
    inside = (part >= 0) & (part < parts)
    part, error, truth = part[inside], (answer - truth)[inside], truth[inside]
    weights = (None, np.abs(error) / truth, error**2)
    return np.stack([np.bincount(part, weights=one, minlength=parts) for one in weights], axis=1).astype(np.float64)


def _class_map(
    ids: IdMap, labels: Labels, is_crowd: npt.NDArray[np.bool_] | None, shape: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """(H, W) class of the instance that owns the pixel, -1 for none and for crowds."""
    if ids.shape != shape:
        raise MetricError(f'maps of one picture must have one size, are {ids.shape} and {shape}')
    if ids.size and (ids.min() < 0 or ids.max() > len(labels)):
        raise MetricError(f'true instance ids must lie in 0..{len(labels)}, are {ids.min()}..{ids.max()}')
    if is_crowd is not None and is_crowd.shape != labels.shape:
        raise MetricError(f'{labels.shape} true labels do not fit {is_crowd.shape} crowd flags')
    known = labels.astype(np.int64) if is_crowd is None else np.where(is_crowd, -1, labels).astype(np.int64)
    class_map: npt.NDArray[np.int64] = np.append(-1, known)[ids]
    return class_map


def _part(sums: Sums) -> DepthPart:
    pixels, relative, squared = sums.tolist()
    if not pixels:
        return DepthPart(None, None, 0)
    return DepthPart(relative / pixels, float(np.sqrt(squared / pixels)), int(pixels))
