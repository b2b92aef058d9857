# SPDX-License-Identifier: Apache-2.0
"""What records, judges and repairs beside the robot: bags, metrics, replay, calibration, and the real node measured."""
