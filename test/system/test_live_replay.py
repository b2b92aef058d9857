# SPDX-License-Identifier: Apache-2.0
"""A bag through DDS into the real node: what is missed, how late answers come, and the most that the node takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

import rclpy
from drawn_replay import TOPIC, write_street_bag
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from tiny_student import tiny_student

from cast_ros.errors import HarnessError, StudentError
from cast_ros.offline.harness.live_replay import LiveFigures, LiveOptions, figures_of, find_peak, live_replay


@pytest.fixture(scope='module')
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student(tmp_path_factory.mktemp('student') / 'tiny.onnx')


def test_figures_are_those_of_ros2_benchmark() -> None:
    sent = {1: 0.0, 2: 0.1, 3: 0.2, 4: 0.3}
    figures = figures_of(2.0, sent, {1: 0.05, 2: 0.16, 4: 0.37})
    assert (figures.sent, figures.num_missed_frames, figures.missed_share) == (4, 1, 0.25)
    assert figures.sent_frame_rate == pytest.approx(10.0)
    assert figures.mean_frame_rate == pytest.approx(2 / 0.32)
    assert figures.first_sent_received_latency == pytest.approx(50)
    assert figures.last_sent_received_latency == pytest.approx(70)
    assert figures.mean_sent_received_latency == pytest.approx(60)
    # Gaps of 110 and 210 ms about their mean of 160.
    assert (figures.max_jitter, figures.mean_jitter) == (pytest.approx(50), pytest.approx(50))
    assert figures.std_dev_jitter == pytest.approx(0, abs=1e-9)


def test_without_an_answer_there_is_no_latency() -> None:
    figures = figures_of(1.0, {1: 0.0}, {})
    assert figures.num_missed_frames == 1
    assert figures.mean_sent_received_latency is None
    assert figures.max_jitter is None
    assert figures_of(1.0, {}, {}).missed_share == 0


def test_a_slow_bag_is_answered_whole(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 12)
    # Half a second for each picture: a machine that stalls for a quarter of one must not decide.
    figures = live_replay(LiveOptions(bag, student, tmp_path / 'node.log'), rate=0.2)
    assert figures.sent == 12
    assert figures.num_missed_frames == 0
    assert figures.sent_frame_rate == pytest.approx(2, rel=0.1)
    assert figures.mean_sent_received_latency is not None
    assert 0 < figures.mean_sent_received_latency < 1000


def test_the_peak_is_between_what_held_and_what_did_not(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 30)
    probes: list[LiveFigures] = []
    peak = find_peak(LiveOptions(bag, student, tmp_path / 'node.log'), probes.append)
    held = [probe.rate for probe in probes if probe.missed_share < 0.05]
    failed = [probe.rate for probe in probes if probe.missed_share >= 0.05]
    if peak is None:
        assert not held
        return
    assert peak in probes
    assert peak.missed_share < 0.05
    assert not failed or min(rate for rate in failed if rate > peak.rate) / peak.rate <= 1.1 * (1 + 1e-9)


def test_a_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 2)
    model = tiny_student(tmp_path / 'model.onnx', contract=None)
    with pytest.raises(StudentError, match='without a contract'):
        live_replay(LiveOptions(bag, model, tmp_path / 'node.log'))


def test_compressed_pictures_on_a_name_that_image_transport_would_not_give_are_refused(
    tmp_path: Path, student: Path
) -> None:
    from drawn_bags import START_NS, picture_message, view

    from cast_ros.offline.bags import BagWriter

    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/camera/jpeg', START_NS, picture_message(START_NS, view(0), 'jpeg'))
    with pytest.raises(HarnessError, match='does not end in /compressed'):
        live_replay(LiveOptions(tmp_path / 'bag', student, tmp_path / 'node.log'))


def test_who_is_on_the_default_domain_gets_nothing_of_it(tmp_path: Path, student: Path) -> None:
    """A shell that says nothing of ROS is on domain 0, as robots are: their topics must not meet those of a replay."""
    bag = write_street_bag(tmp_path / 'bag', 10)
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=0)
    robot = Node('robot', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(robot)
    seen: list[Image] = []
    robot.create_subscription(Image, TOPIC, seen.append, qos_profile_sensor_data)
    said_nothing = {
        name: value
        for name, value in os.environ.items()
        if name not in ('ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY')
    }
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', 'replay', bag, '--model', student]
    try:
        with subprocess.Popen([*command, '--out', tmp_path / 'out', '--live'], env=said_nothing) as process:
            while process.poll() is None:
                executor.spin_once(timeout_sec=0.05)
        assert process.returncode == 0
        assert len(seen) == 0
    finally:
        executor.shutdown()
        robot.destroy_node()
        rclpy.shutdown(context=context)


def test_the_command_line_puts_the_live_figures_into_the_report(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 10)
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', 'replay', bag, '--model', student]
    done = subprocess.run([*command, '--out', tmp_path / 'out', '--live'], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (figures,) = json.loads((tmp_path / 'out' / 'metrics.json').read_text(encoding='utf-8'))['live']
    assert (figures['sent'], figures['rate']) == (10, 1.0)
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'Through DDS' in page
    assert 'NUM_MISSED_FRAMES' in page
