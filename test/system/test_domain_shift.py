# SPDX-License-Identifier: Apache-2.0
"""The domain-shift monitor over the real middleware: in /diagnostics, and with a recorder's snapshot service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

import numpy as np
from node_case import Case, street
from tiny_student import tiny_student
from vision_msgs.msg import Detection2DArray

from cast_ros.monitoring import appearance_of, measured
from cast_ros.student import InputStatistics


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that learned streets with the car in all places and some light."""
    views = [street(left) * light for left in range(0, 128, 16) for light in (0.8, 0.9, 1.0, 1.1)]
    features = np.stack([appearance_of(view.clip(0, 255).astype(np.uint8)) for view in views])
    statistics = InputStatistics(
        luminance_mean=0.4, luminance_std=0.1, luminance_histogram=(1 / 16,) * 16, appearance=measured(features)
    )
    folder = tmp_path_factory.mktemp('students')
    return tiny_student(
        folder / 'tiny.onnx', contract={'input_statistics': json.loads(statistics.model_dump_json(exclude_none=True))}
    )


def test_strange_pictures_are_a_warning_of_their_own_and_pass_again(case: Case) -> None:
    case.start(shift_window_s=0.3, shift_error=900.0)
    case.probe.until_state(case.name, 'active')
    statuses = case.probe.diagnostics(case.name, part='domain shift')
    case.listen(Detection2DArray, 'detections')
    camera = case.camera()

    def show(picture: np.ndarray, level: str) -> dict[str, str]:
        statuses.clear()
        found = case.probe.publish_until(
            lambda: camera.publish(case.picture(picture)),
            lambda: next((status for status in statuses if status['level'] == level), None),
            f'{level} of the domain shift',
        )
        return dict(found)

    assert 'look like training' in show(street(), 'OK')['message']
    strange = show(street() // 6, 'WARN')
    assert 'pictures differ from training' in strange['message']
    assert float(strange['distance']) > 1.1
    assert 'look like training' in show(street(), 'OK')['message']


def test_a_recorder_is_asked_for_a_snapshot_once(case: Case) -> None:
    rosbag2 = pytest.importorskip('rosbag2_interfaces.srv', reason='needs rosbag2_interfaces, which make test builds')
    asked: list[object] = []

    def snapshot(request: object, response: object) -> object:
        asked.append(request)
        return response

    case.probe.node.create_service(rosbag2.Snapshot, f'{case.namespace}/snapshot', snapshot)
    case.start(shift_window_s=0.3, snapshot_service=f'{case.namespace}/snapshot')
    case.probe.until_state(case.name, 'active')
    statuses = case.probe.diagnostics(case.name, part='domain shift')
    case.listen(Detection2DArray, 'detections')
    camera = case.camera()
    for picture in (street(), street() // 6, street(), street() // 6):
        statuses.clear()
        case.probe.publish_until(
            lambda picture=picture: camera.publish(case.picture(picture)),
            lambda picture=picture: any((one['level'] == 'OK') == (picture.max() > 200) for one in statuses),
            'the level to follow the pictures',
        )
    case.probe.until(lambda: asked, 'the snapshot')
    assert len(asked) == 1
    assert statuses[-1]['snapshots'] == '1'


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [({'shift_warn': 3.0, 'shift_error': 2.0}, "'shift_error' (2.0) must not be below 'shift_warn' (3.0)")],
)
def test_limits_that_contradict_each_other_are_refused(case: Case, parameters: dict[str, float], reason: str) -> None:
    case.start(autostart=False, **parameters)
    assert case.probe.change_state(case.name, 'configure') is False
    assert reason in case.node.failure


def test_a_student_without_statistics_says_how_to_get_them(case: Case, tmp_path: Path) -> None:
    case.start(model=str(tiny_student(tmp_path / 'bare.onnx')))
    statuses = case.probe.diagnostics(case.name, part='domain shift')
    status = case.probe.until(lambda: statuses and statuses[-1], 'the status')
    assert status['level'] == 'OK'
    assert 'cast-train statistics measures them' in status['message']
