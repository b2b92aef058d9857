# SPDX-License-Identifier: Apache-2.0
"""How good answers are: one definition, for training and for replay."""

from __future__ import annotations

from cast_ros.metrics.cityscapes import CityscapesInstanceMetrics, CityscapesScores
from cast_ros.metrics.depth import DepthMetrics, DepthScores
from cast_ros.metrics.errors import MetricError
from cast_ros.metrics.frames import InstanceFrame
from cast_ros.metrics.instance_matches import FrameMatches, MatchedFrames, PrecisionRecall
from cast_ros.metrics.instances import ClassPrecision, InstanceMetrics, InstanceScores
from cast_ros.metrics.semantic import SemanticMetrics, SemanticScores

__all__ = [
    'CityscapesInstanceMetrics',
    'CityscapesScores',
    'ClassPrecision',
    'DepthMetrics',
    'DepthScores',
    'FrameMatches',
    'InstanceFrame',
    'InstanceMetrics',
    'InstanceScores',
    'MatchedFrames',
    'MetricError',
    'PrecisionRecall',
    'SemanticMetrics',
    'SemanticScores',
]
