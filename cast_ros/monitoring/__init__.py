# SPDX-License-Identifier: Apache-2.0
"""Whether pictures still look like those that a student learned from."""

from cast_ros.monitoring.appearance import FEATURES, appearance_of, entropy_of
from cast_ros.monitoring.domain_shift import DomainShiftMonitor, Level, Shift, ShiftLimits

__all__ = ['FEATURES', 'DomainShiftMonitor', 'Level', 'Shift', 'ShiftLimits', 'appearance_of', 'entropy_of']
