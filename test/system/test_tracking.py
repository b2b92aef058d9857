# SPDX-License-Identifier: Apache-2.0
"""Ids that stay with an instance, over the real middleware."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')
pytest.importorskip('trackers', reason="needs the extra 'tracking'")

import numpy as np
from node_case import Case, stamp_of, street
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

from cast_ros.images import decode_image
from cast_ros.nodes.messages import image_message
from cast_ros.scene import POINT


def show(case: Case, tenths: int, car_left: int, *inboxes: list[Any]) -> list[Any]:
    """Publishes a picture of this time until every inbox has its answer."""
    header = Header(frame_id='front_optical')
    header.stamp.sec, header.stamp.nanosec = tenths // 10, tenths % 10 * 100_000_000
    camera = case.camera()
    stamp = stamp_of(image_message(street(), 'rgb8', header))

    def answers() -> list[Any] | None:
        found = [next((entry for entry in inbox if stamp_of(entry) == stamp), None) for inbox in inboxes]
        return None if None in found else found

    case.probe.publish_until(
        lambda: camera.publish(image_message(street(car_left), 'rgb8', header)), answers, f'answers to {tenths}'
    )
    case.probe.node.destroy_publisher(camera)
    return list(answers() or [])


def ids_by_class(message: Any) -> dict[str, int]:
    return {entry.results[0].hypothesis.class_id: int(entry.id) for entry in message.detections}


def test_ids_stay_with_their_instances_in_every_output_and_change_when_time_jumps(case: Case) -> None:
    case.start(tracking=True)
    case.probe.until_state(case.name, 'active')
    case.calibrate(case.camera_info())
    inboxes = [
        case.listen(Detection2DArray, 'detections'),
        case.listen(Image, 'instances'),
        case.listen(Detection3DArray, 'detections_3d'),
        case.listen(PointCloud2, 'points'),
    ]
    show(case, 100, 64, *inboxes)
    flat, picture, space, cloud = show(case, 101, 68, *inboxes)
    first = ids_by_class(flat)
    assert set(first) == {'car', 'person'}
    assert set(first.values()) <= set(range(1, 10))
    ids = decode_image(picture)
    assert ids[72, 100] == first['car']
    assert ids[72, 216] == first['person']
    assert ids_by_class(space) == first
    assert set(np.frombuffer(cloud.data, POINT)['instance'].tolist()) == {0, *first.values()}
    for tenths, left in ((102, 72), (105, 80)):
        assert ids_by_class(show(case, tenths, left, *inboxes)[0]) == first
    show(case, 20, 64, *inboxes)
    (again, *_) = show(case, 21, 64, *inboxes)
    assert set(ids_by_class(again).values()).isdisjoint(first.values())


def test_without_the_library_the_node_says_what_to_install(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'trackers', None)
    case.start(tracking=True, autostart=False)
    assert case.probe.change_state(case.name, 'configure') is False
    assert 'pip install' in case.node.failure
    assert case.probe.set_parameter(case.name, 'tracking', False) == (True, '')
    assert case.probe.change_state(case.name, 'configure') is True
