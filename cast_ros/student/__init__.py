# SPDX-License-Identifier: Apache-2.0
"""What a student promises, and running it."""

from __future__ import annotations

from cast_ros.errors import StudentError
from cast_ros.student.contract import (
    CONTRACT_KEY,
    UNLABELLED,
    AppearanceStatistics,
    ClassInfo,
    DepthSpec,
    InputSpec,
    InputStatistics,
    StudentContract,
)
from cast_ros.student.geometry import InputGeometry
from cast_ros.student.prediction import Prediction, Timing
from cast_ros.student.providers import LoadOptions
from cast_ros.student.runtime import HEADS, Student

__all__ = [
    'CONTRACT_KEY',
    'HEADS',
    'UNLABELLED',
    'AppearanceStatistics',
    'ClassInfo',
    'DepthSpec',
    'InputGeometry',
    'InputSpec',
    'InputStatistics',
    'LoadOptions',
    'Prediction',
    'Student',
    'StudentContract',
    'StudentError',
    'Timing',
]
