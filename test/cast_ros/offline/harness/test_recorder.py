# SPDX-License-Identifier: Apache-2.0
"""What benchmarks listen to is what the node publishes."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from cast_ros.nodes.outputs import OUTPUTS
from cast_ros.nodes.parameters import BY_NAME
from cast_ros.offline.harness.recorder import _OUTPUTS, ALL_BUT_OVERLAY, MAPS, OVERLAY


def test_every_output_of_the_node_is_known_with_its_topic_and_type() -> None:
    topics = {output.name: BY_NAME[f'{output.name}_topic'].default for output in OUTPUTS}
    known = {name: f'~/{topic}' for name, (topic, _, _) in _OUTPUTS.items()}
    assert known == topics
    types = {name: message_type for name, (_, message_type, _) in _OUTPUTS.items()}
    assert types == {output.name: output.message_type for output in OUTPUTS}


def test_benchmarks_listen_to_everything_but_the_overlay() -> None:
    assert {*ALL_BUT_OVERLAY, OVERLAY} == {output.name for output in OUTPUTS}
    assert OVERLAY not in ALL_BUT_OVERLAY
    assert set(MAPS) < set(ALL_BUT_OVERLAY)
