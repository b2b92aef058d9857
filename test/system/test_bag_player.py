# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from drawn_bags import promise_more
from ros_probe import RosProbe, ros_probe
from rosbags.rosbag2 import Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, BagWriter
from cast_ros.offline.bags.messages import image, stamp_ns, text
from cast_ros.offline.harness.bag_player import BagPlayer

START_NS = 1_700_000_000_000_000_000
STEP_NS = 50_000_000
COUNT = 8


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'numbers.mcap'
    with BagWriter(path) as writer:
        writer.add_topic('/about', 'std_msgs/msg/String', latched=True)
        writer.write('/about', START_NS, text('numbers'))
        for index in range(COUNT):
            at_ns = START_NS + index * STEP_NS
            writer.write('/image', at_ns, image(at_ns, 'camera', np.full((4, 5), index, np.uint8), 'mono8'))
    return path


@pytest.fixture
def probe() -> Iterator[RosProbe]:
    with ros_probe() as probe:
        yield probe


def spin(probe: RosProbe, seconds: float) -> None:
    deadline_s = time.monotonic() + seconds
    probe.until(lambda: time.monotonic() >= deadline_s, 'the time')


def play(probe: RosProbe, player: BagPlayer) -> list[float]:
    """Plays to the end and returns when each message went out."""
    return [played.published_s for played in player.play(lambda seconds: spin(probe, seconds))]


def test_messages_arrive_as_they_were_recorded(probe: RosProbe, bag: Path) -> None:
    with BagReader(bag) as reader:
        player = BagPlayer(probe.node, reader, ['/image'], rate=5.0)
        inbox = probe.listen(Image, '/image', 50)
        probe.until(lambda: not player.waits_for(), 'the subscription')
        play(probe, player)
        probe.until(lambda: len(inbox) == COUNT, 'all pictures')
    assert [stamp_ns(message) for message in inbox] == [START_NS + k * STEP_NS for k in range(COUNT)]
    assert [message.data[0] for message in inbox] == list(range(COUNT))


def test_the_pace_is_the_recorded_one_and_a_pause_is_not_made_up_for(probe: RosProbe, bag: Path) -> None:
    step_s, pause_s = STEP_NS / 1e9 / 2, 0.2
    with BagReader(bag) as reader:
        player = BagPlayer(probe.node, reader, ['/image'], rate=2.0)
        times_s = []
        for played in player.play(lambda seconds: spin(probe, seconds)):
            times_s.append(played.published_s)
            if len(times_s) == 3:
                spin(probe, pause_s)
    assert times_s[2] - times_s[0] >= 2 * step_s - 0.001
    assert times_s[3] - times_s[2] >= pause_s
    assert times_s[-1] - times_s[3] >= (COUNT - 4) * step_s - 0.001


def test_a_latched_topic_reaches_who_comes_late(probe: RosProbe, bag: Path) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile

    with BagReader(bag) as reader:
        player = BagPlayer(probe.node, reader, ['/about'])
        play(probe, player)
        inbox = probe.listen(String, '/about', QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        probe.until(lambda: inbox, 'the latched message')
    assert inbox[0].data == 'numbers'


def test_the_clock_runs_forward_over_the_whole_bag(probe: RosProbe, bag: Path) -> None:
    with BagReader(bag) as reader:
        player = BagPlayer(probe.node, reader, clock=True)
        ticks = probe.listen(Clock, '/clock', 100)
        probe.until(lambda: probe.node.count_subscribers('/clock'), 'the clock subscription')
        play(probe, player)
        last_ns = START_NS + (COUNT - 1) * STEP_NS
        probe.until(lambda: ticks and ticks[-1].clock.sec * 10**9 + ticks[-1].clock.nanosec == last_ns, 'the last tick')
    times_ns = [tick.clock.sec * 10**9 + tick.clock.nanosec for tick in ticks]
    assert all(after > before for before, after in itertools.pairwise(times_ns))
    assert len(times_ns) > 2 * COUNT


def test_a_wrong_topic_lists_what_is_there(probe: RosProbe, bag: Path) -> None:
    with BagReader(bag) as reader, pytest.raises(BagError, match="no topic '/imag'; it has: /about, /image"):
        BagPlayer(probe.node, reader, ['/imag'])


def test_a_rate_of_nothing_is_refused(probe: RosProbe, bag: Path) -> None:
    with BagReader(bag) as reader, pytest.raises(BagError, match='above 0'):
        BagPlayer(probe.node, reader, rate=0.0)


def test_a_type_that_is_not_installed_is_named(probe: RosProbe, tmp_path: Path) -> None:
    with Writer(tmp_path / 'foreign', version=9) as writer:
        writer.add_connection('/odd', 'odd_msgs/msg/Odd', msgdef='int32 x', rihs01='RIHS01_0')
    with BagReader(tmp_path / 'foreign') as reader, pytest.raises(BagError, match='install odd_msgs'):
        BagPlayer(probe.node, reader)


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, '-m', 'cast_ros.offline.harness.bag_player', *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_program_plays_to_the_end(probe: RosProbe, bag: Path) -> None:
    inbox = probe.listen(Image, '/image', 50)
    process = start(bag, '--rate', 4)
    probe.until(lambda: len(inbox) == COUNT, 'all pictures', deadline_s=30)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, f'{bag}: {COUNT + 1} messages played\n', '')


def test_the_program_says_that_a_bag_promised_more(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive') as writer:
        writer.write('/about', START_NS, text('numbers'))
    promise_more(tmp_path / 'drive', '/about', 2)
    process = start(tmp_path / 'drive', '--wait-s', 0)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, f'{tmp_path}/drive: 1 messages played\n')
    assert err == (
        "the bag is not whole: drive: messages on '/about': metadata.yaml says 3, the index of the storage 1, "
        'reading gave 1; 1 messages can be read\n'
    )


def test_the_program_ends_at_once_when_interrupted(probe: RosProbe, bag: Path) -> None:
    inbox = probe.listen(Image, '/image', 50)
    process = start(bag, '--rate', 0.01)
    probe.until(lambda: inbox, 'the first picture', deadline_s=30)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, '')


def test_the_program_says_in_one_line_why_it_cannot_play(tmp_path: Path) -> None:
    process = start(tmp_path / 'nowhere.mcap')
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err == f'{tmp_path}/nowhere.mcap does not exist\n'


def test_topics_play_under_other_names_again_and_again(probe: RosProbe, bag: Path) -> None:
    inbox = probe.listen(Image, '/front/image', 100)
    command = [sys.executable, '-m', 'cast_ros.offline.harness.bag_player', str(bag), '--rate', '20', '--loop']
    process = subprocess.Popen([*command, '--remap', '/image:=/front/image'])
    try:
        probe.until(lambda: len(inbox) >= 2 * COUNT + 1, 'the third round')
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
    values = [message.data[0] for message in inbox]
    assert values[: COUNT + 1] == [*range(COUNT), 0]


def test_the_player_waits_for_whoever_wants_the_pictures(probe: RosProbe, bag: Path) -> None:
    other = probe.listen(String, '/about', 10)
    command = [sys.executable, '-m', 'cast_ros.offline.harness.bag_player', str(bag), '--rate', '20']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        probe.until(lambda: probe.node.count_publishers('/about'), 'the player')
        spin(probe, 1.0)
        assert process.poll() is None
        assert not other, 'it has not begun for the first subscriber of anything'
        inbox = probe.listen(Image, '/image', 100)
        probe.until(lambda: len(inbox) == COUNT, 'every picture')
    finally:
        process.kill()
        process.communicate()
    assert [message.data[0] for message in inbox] == list(range(COUNT))


def test_what_nobody_listens_to_is_said(bag: Path) -> None:
    command = [sys.executable, '-m', 'cast_ros.offline.harness.bag_player', str(bag), '--rate', '50', '--wait-s', '0.2']
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert 'nobody listens to /image after 0.2 s: played all the same' in done.stderr


@pytest.mark.parametrize(
    ('remap', 'reason'), [('/image', 'is no remapping; write'), ('/nothing:=/x', 'is to be renamed, but not played')]
)
def test_a_remapping_of_no_use_is_refused(bag: Path, remap: str, reason: str) -> None:
    command = [sys.executable, '-m', 'cast_ros.offline.harness.bag_player', str(bag), '--remap', remap]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (('--rate', 'nan'), 'the rate must be above 0 and finite, not nan'),
        (('--rate', 'inf'), 'the rate must be above 0 and finite, not inf'),
        (('--wait-for', '/nope'), "'/nope' is waited for, but not played; played are: /about, /image"),
    ],
)
def test_an_argument_of_no_use_is_one_line(bag: Path, arguments: tuple[str, ...], reason: str) -> None:
    process = start(bag, *arguments)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert reason in err
    assert len(err.splitlines()) == 1


def test_ros_arguments_rename_node_and_topics(probe: RosProbe, bag: Path) -> None:
    inbox = probe.listen(Image, '/front/image', 50)
    process = start(bag, '--rate', 10, '--ros-args', '-r', '__node:=tape', '-r', '/image:=/front/image')
    probe.until(lambda: len(inbox) == COUNT, 'all pictures', deadline_s=30)
    assert process.wait(timeout=30) == 0


def test_a_bag_without_pictures_waits_for_whoever_comes_first(probe: RosProbe, tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'words.mcap') as writer:
        writer.write('/words', START_NS, text('hello'))
    process = start(tmp_path / 'words.mcap')
    probe.until(lambda: probe.node.count_publishers('/words'), 'the player')
    spin(probe, 1.0)
    assert process.poll() is None
    inbox = probe.listen(String, '/words', 10)
    probe.until(lambda: inbox, 'the message')
    assert process.wait(timeout=30) == 0
