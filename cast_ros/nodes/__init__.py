# SPDX-License-Identifier: Apache-2.0
"""The only part of cast_ros that imports rclpy."""
