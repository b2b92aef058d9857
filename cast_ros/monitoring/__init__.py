# SPDX-License-Identifier: Apache-2.0
"""Whether pictures still look like those that a student learned from."""

from cast_ros.monitoring.appearance import FEATURES, LUMA, appearance_of, entropy_of
from cast_ros.monitoring.domain_shift import CONFIDENT, DomainShiftMonitor, Level, Shift, ShiftLimits, measured

__all__ = [
    'CONFIDENT',
    'FEATURES',
    'LUMA',
    'DomainShiftMonitor',
    'Level',
    'Shift',
    'ShiftLimits',
    'appearance_of',
    'entropy_of',
    'measured',
]
