# SPDX-License-Identifier: Apache-2.0
"""Adds up how well predictions agree with ground truth, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.offline.evaluation.ground_truth import GroundTruth
from cast_ros.offline.metrics.boundary import BoundaryMetrics, BoundaryScores
from cast_ros.offline.metrics.cityscapes import CityscapesInstanceMetrics, CityscapesScores
from cast_ros.offline.metrics.depth import DepthMetrics, DepthScores, FrameDepth
from cast_ros.offline.metrics.depth_by import DepthByMetrics, DepthByScores
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.instance_matches import FrameMatches
from cast_ros.offline.metrics.instances import InstanceMetrics, InstanceScores
from cast_ros.offline.metrics.panoptic import PanopticMetrics, PanopticScores
from cast_ros.offline.metrics.score_calibration import CalibrationMetrics, CalibrationScores
from cast_ros.offline.metrics.semantic import SemanticMetrics, SemanticScores
from cast_ros.student import UNLABELLED, Prediction, StudentContract


@dataclass(frozen=True, eq=False)
class Scores:
    """The figures of all frames together; None where the student lacks the head or no frame had its ground truth.

    Those after depth are made on request alone.
    """

    instances: InstanceScores | None = None
    semantic: SemanticScores | None = None
    depth: DepthScores | None = None
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

    A metric is there from the first frame that has both sides of it.

    Args:
        contract: of the student that made the predictions.
        detailed: also panoptic quality, boundaries, calibration of scores, depth by distance and class, and rescaled
            depth. They take several times as long as the rest, so a trainer goes without.
    """

    def __init__(self, contract: StudentContract, detailed: bool = False) -> None:
        names = contract.class_names
        things = {number: names[number] for number in contract.thing_ids}
        cap_m = math.nan if contract.depth is None else contract.depth.cap_m
        self._makers: dict[str, Callable[[], Any]] = {
            'instances': lambda: InstanceMetrics(things),
            'semantic': lambda: SemanticMetrics(names),
            'depth': lambda: DepthMetrics(cap_m),
            'panoptic': lambda: PanopticMetrics(names, things),
            'boundary': lambda: BoundaryMetrics(names),
            'calibration': lambda: CalibrationMetrics(things),
            'depth_by': lambda: DepthByMetrics(names, cap_m),
            'depth_scaled': lambda: DepthMetrics(cap_m, 'median'),
            'instances_cityscapes': lambda: CityscapesInstanceMetrics(things),
        }
        self._metrics: dict[str, Any] = {}
        self._has_things, self._has_depth, self._detailed = bool(things), contract.depth is not None, detailed

    def update(self, prediction: Prediction, truth: GroundTruth, shown: Prediction | None = None) -> FrameStatistics:
        """Adds one frame, and returns what it adds; both sides have the size of the picture.

        Args:
            prediction: with nearly every row, as average precision wants it.
            truth: of the same picture.
            shown: the rows that a robot would see, for the panoptic quality; all of them by default.

        Raises:
            MetricError: they differ in size.
        """
        frame = instance_frame_of(prediction, truth) if self._has_things else None
        matches = panoptic = confusion = depth = None
        if frame is not None:
            self._feed('instances', frame)
        maps = prediction.semantic, truth.semantic
        has_maps = maps[0] is not None and maps[1] is not None
        if has_maps:
            confusion = self._feed('semantic', *maps)
        depths = prediction.depth, truth.depth
        has_depths = self._has_depth and depths[0] is not None and depths[1] is not None
        if has_depths:
            depth = self._feed('depth', *depths)
        if self._detailed:
            seen = frame if shown is None else instance_frame_of(shown, truth)
            if frame is not None:
                matches = FrameMatches.of(frame)
                self._feed('calibration', matches)
                self._feed('instances_cityscapes', frame)
            if has_maps:
                self._feed('boundary', *maps)
                panoptic = None if seen is None else self._feed('panoptic', seen, *maps)
            if has_depths:
                self._feed('depth_scaled', *depths)
                self._feed('depth_by', *depths, truth.instance_ids, truth.instance_labels, truth.instance_is_crowd)
        return FrameStatistics(matches, panoptic, confusion, depth)

    def _feed(self, name: str, *picture: Any) -> Any:
        """Adds a picture to a metric, by its name in Scores, and returns what the picture adds."""
        metric = self._metrics.get(name) or self._makers[name]()
        added = metric.update(*picture)
        self._metrics[name] = metric
        return added

    def compute(self) -> Scores:
        """The figures of all frames so far."""
        return Scores(**{name: metric.compute() for name, metric in self._metrics.items()})


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
