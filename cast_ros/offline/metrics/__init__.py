# SPDX-License-Identifier: Apache-2.0
"""How good answers are: one definition, for training and for replay."""

from __future__ import annotations

from cast_ros.offline.metrics.agreement import AgreementMetrics, AgreementScores
from cast_ros.offline.metrics.bootstrap import Interval, block_counts, paired_bootstrap
from cast_ros.offline.metrics.boundary import BoundaryMetrics, BoundaryScores
from cast_ros.offline.metrics.cityscapes import CityscapesInstanceMetrics, CityscapesScores
from cast_ros.offline.metrics.depth import DepthMetrics, DepthScores, FrameDepth, frame_depth, mean_depth_error
from cast_ros.offline.metrics.depth_by import DepthByMetrics, DepthByScores, DepthPart
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.id_switches import IdSwitches, IdSwitchScores
from cast_ros.offline.metrics.instance_matches import FrameMatches, MatchedFrames, PrecisionRecall
from cast_ros.offline.metrics.instances import ClassPrecision, InstanceMetrics, InstanceScores
from cast_ros.offline.metrics.panoptic import (
    PanopticMetrics,
    PanopticQuality,
    PanopticScores,
    mean_panoptic_quality,
    panoptic_sums_of,
)
from cast_ros.offline.metrics.score_calibration import CalibrationMetrics, CalibrationScores, ReliabilityBin
from cast_ros.offline.metrics.semantic import SemanticMetrics, SemanticScores, class_iou, confusion_of, mean_iou
from cast_ros.offline.metrics.temporal import TemporalFrame, TemporalMetrics, TemporalScores

__all__ = [
    'AgreementMetrics',
    'AgreementScores',
    'BoundaryMetrics',
    'BoundaryScores',
    'CalibrationMetrics',
    'CalibrationScores',
    'CityscapesInstanceMetrics',
    'CityscapesScores',
    'ClassPrecision',
    'DepthByMetrics',
    'DepthByScores',
    'DepthMetrics',
    'DepthPart',
    'DepthScores',
    'FrameDepth',
    'FrameMatches',
    'IdSwitchScores',
    'IdSwitches',
    'InstanceFrame',
    'InstanceMetrics',
    'InstanceScores',
    'Interval',
    'MatchedFrames',
    'PanopticMetrics',
    'PanopticQuality',
    'PanopticScores',
    'PrecisionRecall',
    'ReliabilityBin',
    'SemanticMetrics',
    'SemanticScores',
    'TemporalFrame',
    'TemporalMetrics',
    'TemporalScores',
    'block_counts',
    'class_iou',
    'confusion_of',
    'frame_depth',
    'mean_depth_error',
    'mean_iou',
    'mean_panoptic_quality',
    'paired_bootstrap',
    'panoptic_sums_of',
]
