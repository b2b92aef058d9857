# SPDX-License-Identifier: Apache-2.0
"""Adds up how well predictions agree with ground truth, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

from cast_ros.evaluation.ground_truth import GroundTruth
from cast_ros.metrics import (
    DepthMetrics,
    DepthScores,
    InstanceFrame,
    InstanceMetrics,
    InstanceScores,
    SemanticMetrics,
    SemanticScores,
)
from cast_ros.student import UNLABELLED, Prediction, StudentContract


@dataclass(frozen=True, eq=False)
class Scores:
    """The figures of all frames together; None where the student lacks the head or no frame had its ground truth."""

    instances: InstanceScores | None
    semantic: SemanticScores | None
    depth: DepthScores | None


class Comparison:
    """Feed it frame by frame, then ask once. Depth is judged metric (not rescaled), up to the cap of the contract.

    Args:
        contract: of the student that made the predictions.
    """

    def __init__(self, contract: StudentContract) -> None:
        things = {number: contract.classes[number].name for number in contract.thing_ids}
        self._instances = InstanceMetrics(things) if things else None
        self._semantic = SemanticMetrics(contract.class_names)
        self._depth = None if contract.depth is None else DepthMetrics(contract.depth.cap_m)
        self._compared: set[str] = set()

    def update(self, prediction: Prediction, truth: GroundTruth) -> None:
        """Adds one frame; both sides have the size of the picture.

        Raises:
            MetricError: they differ in size.
        """
        frame = instance_frame(prediction, truth)
        if self._instances is not None and frame is not None:
            self._instances.update(frame)
            self._compared.add('instances')
        if prediction.semantic is not None and truth.semantic is not None:
            self._semantic.update(prediction.semantic, truth.semantic)
            self._compared.add('semantic')
        if self._depth is not None and prediction.depth is not None and truth.depth is not None:
            self._depth.update(prediction.depth, truth.depth)
            self._compared.add('depth')

    def compute(self) -> Scores:
        """The figures of all frames so far."""
        return Scores(
            instances=self._instances.compute() if self._instances and 'instances' in self._compared else None,
            semantic=self._semantic.compute() if 'semantic' in self._compared else None,
            depth=self._depth.compute() if self._depth is not None and 'depth' in self._compared else None,
        )


def instance_frame(prediction: Prediction, truth: GroundTruth) -> InstanceFrame | None:
    """The instances of one picture for the metrics; None where a side has none."""
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
