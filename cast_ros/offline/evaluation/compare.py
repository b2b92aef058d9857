# SPDX-License-Identifier: Apache-2.0
"""Adds up how well predictions agree with ground truth, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.offline.evaluation.ground_truth import GroundTruth
from cast_ros.offline.metrics import (
    BoundaryMetrics,
    BoundaryScores,
    CalibrationMetrics,
    CalibrationScores,
    CityscapesInstanceMetrics,
    CityscapesScores,
    DepthByMetrics,
    DepthByScores,
    DepthMetrics,
    DepthScores,
    FrameDepth,
    FrameMatches,
    InstanceFrame,
    InstanceMetrics,
    InstanceScores,
    PanopticMetrics,
    PanopticScores,
    SemanticMetrics,
    SemanticScores,
)
from cast_ros.student import UNLABELLED, Prediction, StudentContract


@dataclass(frozen=True, eq=False)
class Scores:
    """The figures of all frames together; None where the student lacks the head or no frame had its ground truth.

    Those with a default are made on request alone.
    """

    instances: InstanceScores | None
    semantic: SemanticScores | None
    depth: DepthScores | None
    panoptic: PanopticScores | None = None
    boundary: BoundaryScores | None = None
    calibration: CalibrationScores | None = None
    depth_by: DepthByScores | None = None
    depth_scaled: DepthScores | None = None
    instances_cityscapes: CityscapesScores | None = None


@dataclass(frozen=True, eq=False)
class FrameStatistics:
    """What one frame adds, from which the figures of any multiset of frames follow; None for what a side lacks.

    Attributes:
        matches: for AP; of a detailed comparison alone.
        panoptic: (N, 4), for PQ; of a detailed comparison alone.
        confusion: (N, N+1), for mIoU.
        depth: for the depth errors.
    """

    matches: FrameMatches | None
    panoptic: NDArray[np.float64] | None
    confusion: NDArray[np.integer[Any]] | None
    depth: FrameDepth | None


class Comparison:
    """Feed it frame by frame, then ask once. Depth is judged metric (not rescaled), up to the cap of the contract.

    Args:
        contract: of the student that made the predictions.
        detailed: also panoptic quality, boundaries, calibration of scores, depth by distance and class, and rescaled
            depth. They take several times as long as the rest, so a trainer goes without.
    """

    def __init__(self, contract: StudentContract, detailed: bool = False) -> None:
        things = {number: contract.classes[number].name for number in contract.thing_ids}
        self._instances = InstanceMetrics(things) if things else None
        self._semantic = SemanticMetrics(contract.class_names)
        self._depth = None if contract.depth is None else DepthMetrics(contract.depth.cap_m)
        self._details = _Details(contract) if detailed else None
        self._compared: set[str] = set()

    def update(self, prediction: Prediction, truth: GroundTruth, shown: Prediction | None = None) -> FrameStatistics:
        """Adds one frame, and returns what it adds; both sides have the size of the picture.

        Args:
            prediction: with nearly every row, as average precision wants it.
            truth: of the same picture.
            shown: the rows that a robot would see, for the panoptic quality; all of them by default.

        Raises:
            MetricError: they differ in size.
        """
        frame = instance_frame_of(prediction, truth)
        matches = panoptic = confusion = depth = None
        if self._instances is not None and frame is not None:
            self._instances.update(frame)
            self._compared.add('instances')
        if prediction.semantic is not None and truth.semantic is not None:
            confusion = self._semantic.update(prediction.semantic, truth.semantic)
            self._compared.add('semantic')
        if self._depth is not None and prediction.depth is not None and truth.depth is not None:
            depth = self._depth.update(prediction.depth, truth.depth)
            self._compared.add('depth')
        if self._details is not None:
            seen = frame if shown is None else instance_frame_of(shown, truth)
            matches, panoptic = self._details.update(prediction, truth, frame, seen)
        return FrameStatistics(matches, panoptic, confusion, depth)

    def compute(self) -> Scores:
        """The figures of all frames so far."""
        return Scores(
            instances=self._instances.compute() if self._instances and 'instances' in self._compared else None,
            semantic=self._semantic.compute() if 'semantic' in self._compared else None,
            depth=self._depth.compute() if self._depth is not None and 'depth' in self._compared else None,
            **({} if self._details is None else self._details.compute()),
        )


class _Details:
    """What takes longer. A part is there from the first frame that has both sides of it."""

    def __init__(self, contract: StudentContract) -> None:
        self._contract = contract
        self._panoptic: PanopticMetrics | None = None
        self._boundary: BoundaryMetrics | None = None
        self._calibration: CalibrationMetrics | None = None
        self._depth_by: DepthByMetrics | None = None
        self._depth_scaled: DepthMetrics | None = None
        self._cityscapes: CityscapesInstanceMetrics | None = None

    def update(
        self, prediction: Prediction, truth: GroundTruth, frame: InstanceFrame | None, shown: InstanceFrame | None
    ) -> tuple[FrameMatches | None, NDArray[np.float64] | None]:
        names, thing_ids = self._contract.class_names, self._contract.thing_ids
        matches = panoptic = None
        if frame is not None and thing_ids:
            self._calibration = self._calibration or CalibrationMetrics(thing_ids)
            matches = FrameMatches.of(frame)
            self._calibration.update(matches)
            self._cityscapes = self._cityscapes or CityscapesInstanceMetrics(
                {number: names[number] for number in thing_ids}
            )
            self._cityscapes.update(frame)
        if prediction.semantic is not None and truth.semantic is not None:
            self._boundary = self._boundary or BoundaryMetrics(names)
            self._boundary.update(prediction.semantic, truth.semantic)
            if shown is not None:
                self._panoptic = self._panoptic or PanopticMetrics(names, thing_ids)
                panoptic = self._panoptic.update(shown, prediction.semantic, truth.semantic)
        if self._contract.depth is not None and prediction.depth is not None and truth.depth is not None:
            self._depth_by = self._depth_by or DepthByMetrics(names, self._contract.depth.cap_m)
            self._depth_scaled = self._depth_scaled or DepthMetrics(self._contract.depth.cap_m, 'median')
            self._depth_scaled.update(prediction.depth, truth.depth)
            self._depth_by.update(
                prediction.depth, truth.depth, truth.instance_ids, truth.instance_labels, truth.instance_is_crowd
            )
        return matches, panoptic

    def compute(self) -> dict[str, Any]:
        """By the names of the fields of Scores."""
        parts = {
            'panoptic': self._panoptic,
            'boundary': self._boundary,
            'calibration': self._calibration,
            'depth_by': self._depth_by,
            'depth_scaled': self._depth_scaled,
            'instances_cityscapes': self._cityscapes,
        }
        return {name: part.compute() for name, part in parts.items() if part is not None}


def instance_frame_of(prediction: Prediction, truth: GroundTruth) -> InstanceFrame | None:
    """Both sides as instance metrics take them; None if one side has no instances."""
    if prediction.instance_ids is None or prediction.labels is None or prediction.scores is None:
        return None
    if truth.instance_ids is None or truth.instance_labels is None or truth.instance_is_crowd is None:
        return None
    return InstanceFrame(
        instance_ids=prediction.instance_ids,
        labels=prediction.labels,
        scores=prediction.scores,
        true_instance_ids=truth.instance_ids,
        true_labels=truth.instance_labels,
        true_is_crowd=truth.instance_is_crowd,
        void=None if truth.semantic is None else truth.semantic == UNLABELLED,
    )
