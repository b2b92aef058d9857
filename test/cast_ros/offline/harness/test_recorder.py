# SPDX-License-Identifier: Apache-2.0
"""What benchmarks listen to is what the node publishes."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from collections.abc import Iterator

import rclpy
from rclpy.node import Node

from cast_ros.nodes.topics import ANSWERS
from cast_ros.offline.harness.recorder import ALL_BUT_OVERLAY, MAPS, OVERLAY, Recorder

EVERYTHING = tuple(topic.name for topic in ANSWERS)


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context)
    made = Node('listener', context=context)
    yield made
    made.destroy_node()
    rclpy.shutdown(context=context)


def listened_to(recorder: Recorder) -> dict[str, tuple[str, type]]:
    return {name: (one.topic_name, one.msg_type) for name, one in recorder._subscriptions.items()}


def test_every_output_of_the_node_is_listened_to_with_its_topic_and_type(node: Node) -> None:
    found = listened_to(Recorder(node, {'instances', 'semantic', 'depth'}, EVERYTHING))
    assert found == {
        topic.name: (topic.default.replace('~', '/perception'), topic.message_class()) for topic in ANSWERS
    }


def test_nobody_waits_for_what_a_student_cannot_make(node: Node) -> None:
    assert set(listened_to(Recorder(node, {'depth'}, EVERYTHING))) == {
        *('depth', 'depth_raw', 'depth_camera_info', 'overlay', 'overlay_compressed', 'points', 'points_clearing')
    }
    assert set(listened_to(Recorder(node, {'semantic'}, EVERYTHING))) == {
        *('semantic', 'semantic_color', 'overlay', 'overlay_compressed')
    }
    assert set(listened_to(Recorder(node, {'instances', 'depth'}, MAPS))) == {'detections', 'instances', 'depth'}


def test_benchmarks_listen_to_everything_but_the_overlay() -> None:
    for_people = {OVERLAY, 'overlay_compressed', 'semantic_color', 'markers'}
    assert {*ALL_BUT_OVERLAY, *for_people, 'points_clearing'} == set(EVERYTHING)
    assert for_people.isdisjoint(ALL_BUT_OVERLAY)
    assert set(MAPS) < set(ALL_BUT_OVERLAY)
