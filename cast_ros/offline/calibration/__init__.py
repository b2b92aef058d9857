# SPDX-License-Identifier: Apache-2.0
"""By how much a student's depth is off in scale on one robot: the parameter `depth_scale`, measured from a bag."""

from cast_ros.offline.calibration.frames import Reference
from cast_ros.offline.calibration.run import CalibrationResult, calibrate

__all__ = ['CalibrationResult', 'Reference', 'calibrate']
