# SPDX-License-Identifier: Apache-2.0
"""What lies in space, in a frame of the robot."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from geometry_msgs.msg import Quaternion, TransformStamped
from std_msgs.msg import Header

from cast_ros.nodes.target_frame import Placement

# Of an optical frame (x right, y down, z ahead) on a robot (x ahead, y left, z up): REP 103.
OPTICAL = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)


def placement(orientation: Quaternion, *place_m: float) -> Placement:
    transform = TransformStamped(header=Header(frame_id='base_link'), child_frame_id='camera')
    transform.transform.rotation = orientation
    at = transform.transform.translation
    at.x, at.y, at.z = place_m
    header = Header(frame_id='camera')
    header.stamp.sec = 7
    return Placement.of(header, transform)


def test_a_point_ahead_of_the_camera_is_ahead_of_the_robot() -> None:
    placed = placement(OPTICAL, 0.2, 0.0, 1.2)
    assert (placed.header.frame_id, placed.header.stamp.sec) == ('base_link', 7)
    np.testing.assert_allclose(placed.points(np.array([[1.0, 0.5, 10.0]], np.float32)), [[10.2, -1.0, 0.7]], atol=1e-6)
    assert placed.points(np.array([0.0, 0.0, 1.0], np.float32)).tolist() == pytest.approx([1.2, 0.0, 1.2])


def test_a_quaternion_need_not_be_normed() -> None:
    half = math.sin(math.pi / 4)
    turned = placement(Quaternion(x=0.0, y=0.0, z=3 * half, w=3 * half), 0.0, 0.0, 0.0)
    np.testing.assert_allclose(turned.points(np.array([[1.0, 2.0, 3.0]])), [[-2.0, 1.0, 3.0]], atol=1e-6)
