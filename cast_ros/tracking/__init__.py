# SPDX-License-Identifier: Apache-2.0
"""Numbers that stay with an instance from picture to picture."""

from cast_ros.tracking.tracker import MEMORY_S, InstanceTracker, TrackingError

__all__ = ['MEMORY_S', 'InstanceTracker', 'TrackingError']
