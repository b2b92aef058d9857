# SPDX-License-Identifier: Apache-2.0
"""Numbers that stay with an instance from picture to picture."""

from cast_ros.errors import TrackingError
from cast_ros.tracking.tracker import LARGEST_NUMBER, MEMORY_S, InstanceTracker

__all__ = ['LARGEST_NUMBER', 'MEMORY_S', 'InstanceTracker', 'TrackingError']
