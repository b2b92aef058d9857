# SPDX-License-Identifier: Apache-2.0
"""Instances and points in space, over the real middleware."""

from __future__ import annotations

import importlib.util

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

import numpy as np
from node_case import CAR, FX, GREY_M, HEIGHT, PERSON, ROAD, SKY, WIDTH, Case
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection2DArray, Detection3DArray

from cast_ros.scene import POINT

CAR_M = 1 + 99 * 0.299  # what the tiny student says of red


def points_of(message: PointCloud2) -> np.ndarray:
    return np.frombuffer(message.data, POINT)


def test_instances_are_placed_by_mask_depth_and_calibration(case: Case) -> None:
    case.start()
    case.probe.until_state(case.name, 'active')
    case.calibrate(case.camera_info())
    flat, space, near = case.ask(
        case.listen(Detection2DArray, 'detections'),
        case.listen(Detection3DArray, 'detections_3d'),
        case.listen(Detection3DArray, 'nearest'),
    )
    assert space.header == flat.header
    assert [entry.id for entry in space.detections] == [entry.id for entry in flat.detections]
    car = next(entry for entry in space.detections if entry.results[0].hypothesis.class_id == 'car')
    centre, size = car.bbox.center.position, car.bbox.size
    # Depth is interpolated over the edges of the car.
    assert centre.z == pytest.approx(CAR_M, rel=0.05)
    # 64 pixels wide with its middle at column 96 of a camera whose axis is at 130.
    assert centre.x == pytest.approx((95.5 - 130) * CAR_M / FX, abs=0.4)
    assert centre.y == pytest.approx((71.5 - 60) * CAR_M / FX, abs=0.4)
    assert size.x == pytest.approx(64 * CAR_M / FX, rel=0.15)
    distances = [entry.results[0].pose.pose.position.z for entry in near.detections]
    assert {entry.results[0].hypothesis.class_id for entry in near.detections} == {'car', 'person'}
    assert distances == sorted(distances)


def test_the_cloud_follows_its_parameters_and_leaves_the_sky_out(case: Case) -> None:
    case.start(points_stride=2, points_left_out=['road'])
    case.probe.until_state(case.name, 'active')
    case.calibrate(case.camera_info())
    inbox = case.listen(PointCloud2, 'points')
    (message,) = case.ask(inbox)
    points = points_of(message)
    assert message.header in case.sent
    assert set(points['label'].tolist()) == {CAR, PERSON}
    assert len(points) == pytest.approx((64 + 32) * 48 / 4, rel=0.15)
    assert case.probe.set_parameter(case.name, 'points_stride', 1) == (True, '')
    (message,) = case.ask(inbox)
    assert len(message.data) == message.width * message.point_step
    assert message.width == pytest.approx((64 + 32) * 48, rel=0.15)


def test_with_every_class_the_cloud_is_the_depth_image(case: Case) -> None:
    case.start(points_stride=1)
    case.probe.until_state(case.name, 'active')
    case.calibrate(case.camera_info())
    (message,) = case.ask(case.listen(PointCloud2, 'points'))
    points = points_of(message)
    assert SKY not in points['label']
    road = points[points['label'] == ROAD]
    assert len(road) > 0.4 * HEIGHT * WIDTH
    assert np.median(road['z']) == pytest.approx(GREY_M, rel=1e-3)
    assert road['rgb'].tolist().count(90 << 16 | 90 << 8 | 90) > 0.9 * len(road)


def test_without_a_calibration_nothing_is_said_of_space_and_diagnostics_say_why(case: Case) -> None:
    case.start()
    cloud = case.listen(PointCloud2, 'points')
    case.ask(case.listen(Detection2DArray, 'detections'))
    assert cloud == []
    assert 'no camera_info' in case.node._warnings()[0]


def test_a_class_that_the_student_lacks_cannot_be_left_out(case: Case) -> None:
    case.start(points_left_out=['road', 'lava'], autostart=False)
    assert case.probe.change_state(case.name, 'configure') is False
    assert "'points_left_out' names 'lava'" in case.node.failure
    assert case.probe.set_parameter(case.name, 'points_left_out', ['road']) == (True, '')
    assert case.probe.change_state(case.name, 'configure') is True


def test_without_tf2_a_target_frame_is_refused_with_the_package(case: Case) -> None:
    if importlib.util.find_spec('tf2_ros'):
        pytest.skip('tf2_ros is installed here')
    case.start(target_frame='base_link', autostart=False)
    assert case.probe.change_state(case.name, 'configure') is False
    assert "parameter 'target_frame' is 'base_link' and needs tf2_ros" in case.node.failure


def test_tf2_places_what_lies_in_space_and_a_missing_transform_is_told(case: Case) -> None:
    tf2_ros = pytest.importorskip('tf2_ros', reason='needs an installed ROS 2: tf2_ros is in no package registry')
    from geometry_msgs.msg import TransformStamped

    case.start(target_frame='base_link', target_frame_timeout_s=0.1)
    case.probe.until_state(case.name, 'active')
    case.calibrate(case.camera_info())
    status, space = case.probe.diagnostics(case.name), case.listen(Detection3DArray, 'detections_3d')
    case.ask(case.listen(Detection2DArray, 'detections'))
    case.probe.until(lambda: status and "no transform from 'front_optical'" in status[-1]['message'], 'a warning')
    assert space == []
    at = TransformStamped(child_frame_id='front_optical')
    at.header.frame_id, at.transform.translation.z = 'base_link', 1.2
    turn = at.transform.rotation
    turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
    tf2_ros.StaticTransformBroadcaster(case.probe.node).sendTransform(at)
    (placed,) = case.ask(space)
    assert placed.header.frame_id == 'base_link'
    car = next(entry for entry in placed.detections if entry.results[0].hypothesis.class_id == 'car')
    assert car.bbox.center.position.x == pytest.approx(CAR_M, rel=0.05)
