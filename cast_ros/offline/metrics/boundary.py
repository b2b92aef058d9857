# SPDX-License-Identifier: Apache-2.0
"""F-score of class boundaries: how well the outlines of the semantic map fit, however large the areas are.

Csurka, Larlus and Perronnin (BMVC 2013), with their tolerance of 0.75 % of the diagonal; DAVIS (Perazzi et al., CVPR
2016) measures masks in the same way with 0.8 %. Boundary pixels are counted over the whole data set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.scores import Result
from cast_ros.offline.metrics.semantic import IGNORE, ClassMap, check_class_maps, check_class_names

TOLERANCE_OF_DIAGONAL = 0.0075

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)

Sums = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BoundaryScores(Result):
    """Fractions of 1; None where the ground truth has no boundary.

    Attributes:
        mean_f: mean over the classes that have a true boundary.
        per_class: F-score by class name.
        tolerance: distance that still counts as found, as a part of the diagonal, rounded up to whole pixels.
        frames: pictures that were compared.
    """

    mean_f: float | None
    per_class: dict[str, float | None]
    tolerance: float
    frames: int


class BoundaryMetrics:
    """Collects boundary pixels.

    A boundary pixel of a class has one of its four neighbours in another class. The edge of the picture is no
    boundary, nor is the edge of what is void in the ground truth; predictions on void do not count.
    """

    def __init__(self, class_names: Sequence[str], tolerance: float = TOLERANCE_OF_DIAGONAL) -> None:
        """Start without a picture.

        Args:
            class_names: in the order of the class ids, which run from 0.
            tolerance: as a part of the diagonal of the picture.
        """
        self._names = check_class_names(class_names)
        if not 0 < tolerance < 1:
            raise MetricError(f'the tolerance is a part of the diagonal, between 0 and 1, not {tolerance}')
        self._tolerance = tolerance
        self._sums: Sums = np.zeros((len(class_names), 4), np.int64)
        self._frames = 0

    def update(self, semantic: ClassMap, true_semantic: ClassMap) -> None:
        """Add one picture.

        Args:
            semantic: (H, W) predicted class ids, 255 unlabelled.
            true_semantic: (H, W) class ids, 255 void.

        Raises:
            MetricError: sizes differ, or an id is neither a class nor 255.
        """
        self._sums += boundary_sums_of(semantic, true_semantic, len(self._names), self._tolerance)
        self._frames += 1

    def compute(self) -> BoundaryScores:
        """The numbers over all pictures so far.

        Raises:
            MetricError: no picture was added.
        """
        if not self._frames:
            raise MetricError('no picture was compared, so there is no boundary')
        scores = [_f_score(*row) for row in self._sums.tolist()]
        known = [score for score in scores if score is not None]
        return BoundaryScores(
            mean_f=sum(known) / len(known) if known else None,
            per_class=dict(zip(self._names, scores, strict=True)),
            tolerance=self._tolerance,
            frames=self._frames,
        )


def boundary_sums_of(semantic: ClassMap, true_semantic: ClassMap, class_count: int, tolerance: float) -> Sums:
    """(N, 4) by class: predicted boundary pixels, those near a true one, true ones, those near a predicted one.

    Arguments as in `BoundaryMetrics`.
    """
    check_class_maps(semantic, true_semantic, class_count)
    void = true_semantic == IGNORE
    disk = _disk(math.ceil(tolerance * math.hypot(*semantic.shape)))
    sums = np.zeros((class_count, 4), np.int64)
    # Unlabelled in the answer is a neighbour like any other class; void is not.
    for class_id in np.union1d(np.unique(semantic), np.unique(true_semantic)):
        if class_id == IGNORE:
            continue
        answer, truth = _boundary(semantic == class_id, void), _boundary(true_semantic == class_id, void)
        # Nothing outside is near anything: most classes cover a small part of the picture.
        extent = _extent(answer | truth)
        answer, truth = answer[extent], truth[extent]
        if not answer.size:
            continue
        found, reached = answer & _near(truth, disk), truth & _near(answer, disk)
        sums[class_id] = [np.count_nonzero(one) for one in (answer, found, truth, reached)]
    return sums


def _boundary(mask: npt.NDArray[np.bool_], void: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(H, W) pixels of the mask, off void, that have a neighbour neither in the mask nor void nor off the picture."""
    inner = cv2.erode((mask | void).astype(np.uint8), _CROSS)
    edge: npt.NDArray[np.bool_] = mask & ~void & (inner == 0)
    return edge


def _near(boundary: npt.NDArray[np.bool_], disk: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """(H, W) pixels within the disk around a boundary pixel; at these radii faster than a distance transform."""
    near: npt.NDArray[np.bool_] = cv2.dilate(boundary.astype(np.uint8), disk) > 0
    return near


def _disk(radius_px: int) -> npt.NDArray[np.uint8]:
    """Ours, because OpenCV's ellipse is not all pixels within the radius."""
    y, x = np.ogrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    disk: npt.NDArray[np.uint8] = (x * x + y * y <= radius_px * radius_px).astype(np.uint8)
    return disk


def _extent(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns around the pixels of the mask."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return slice(y, y + height), slice(x, x + width)


def _f_score(answered: int, right: int, true: int, found: int) -> float | None:
    if not true:
        return None
    if not right or not found:
        return 0.0
    precision, recall = right / answered, found / true
    return 2 * precision * recall / (precision + recall)
