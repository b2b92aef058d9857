# SPDX-License-Identifier: Apache-2.0
"""The perception node as a process of its own, as `ros2 run cast_ros perception` starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from ros_probe import RosProbe, ros_probe
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tiny_student import tiny_student

from cast_ros.images import decode_image
from cast_ros.nodes.messages import image_message

Start = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture
def probe() -> Iterator[RosProbe]:
    with ros_probe() as made:
        yield made


@pytest.fixture
def start(project_root: Path) -> Iterator[Start]:
    """Starts the node with these ROS arguments; whatever is left at the end is killed."""
    processes: list[subprocess.Popen[str]] = []

    def started(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, '-m', 'cast_ros.nodes', '--ros-args', *arguments]
        process = subprocess.Popen(
            command, cwd=project_root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def answers(probe: RosProbe, image_topic: str, semantic_topic: str) -> None:
    """Publishes red pictures until one is answered with class car."""
    camera = probe.node.create_publisher(Image, image_topic, 1)
    inbox = probe.listen(Image, semantic_topic)
    red = np.zeros((480, 640, 3), np.uint8)
    red[..., 0] = 255
    answer = probe.publish_until(
        lambda: camera.publish(image_message(red, 'rgb8', Header(frame_id='camera'))),
        lambda: inbox and inbox[0],
        'an answer',
    )
    assert (decode_image(answer) == 3).all()
    assert answer.header.frame_id == 'camera'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_in_peace(
    probe: RosProbe, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    model = tiny_student(tmp_path / 'tiny.onnx')
    process = start('-p', f'model:={model}')
    answers(probe, '/image', '/perception/semantic')
    process.send_signal(number)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 0, output
    assert 'Traceback' not in output


def endless(model: onnx.ModelProto) -> None:
    """A student whose first answer takes hours, as one for which an engine is built: depth goes through a long loop."""
    value = helper.make_tensor_value_info
    scalar, flag = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
    body = helper.make_graph(
        [
            helper.make_node('Identity', ['go_on'], ['still']),
            helper.make_node('Identity', ['depth_in'], ['depth_out']),
        ],
        'again',
        [value('turn', onnx.TensorProto.INT64, []), value('go_on', flag, []), value('depth_in', scalar, None)],
        [value('still', flag, []), value('depth_out', scalar, None)],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(10**12), 'turns'))
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            node.output[i] = 'depth_once' if name == 'depth' else name
    model.graph.node.append(helper.make_node('Loop', ['turns', '', 'depth_once'], ['depth'], body=body))


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_that_waits_for_an_engine_and_the_child_that_builds_it(
    probe: RosProbe, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    process = start('-p', f'model:={tiny_student(tmp_path / "endless.onnx", edit=endless)}')

    def building() -> list[int]:
        """The child, once it is past Python's own start: onnxruntime is mapped into it."""
        maps = [(one, Path(f'/proc/{one}/maps')) for one in children_of(process.pid)]
        return [one for one, path in maps if path.exists() and 'onnxruntime' in path.read_text()]

    (child,) = probe.until(building, 'the child that loads the student', 60)
    process.send_signal(number)
    started_s = time.monotonic()
    output, _ = process.communicate(timeout=10)
    assert time.monotonic() - started_s < 5, output
    assert process.returncode == 0, output
    assert 'Traceback' not in output
    assert not Path(f'/proc/{child}').exists()


def test_a_model_that_cannot_work_leaves_a_node_that_runs_says_so_and_can_be_configured_again(
    probe: RosProbe, start: Start, tmp_path: Path
) -> None:
    model = tiny_student(tmp_path / 'tiny.onnx')
    whole = model.read_bytes()
    model.write_bytes(whole[:500])
    statuses = probe.diagnostics('/perception')
    process = start('-p', f'model:={model}')
    failed = probe.until(
        lambda: next((one for one in statuses if one['level'] == 'ERROR'), None), 'an error in /diagnostics', 30
    )
    assert failed['state'] == 'unconfigured'
    assert failed['message'].startswith(f'configure failed: {model}: is not an ONNX file, or only a part of one')
    assert process.poll() is None
    model.write_bytes(whole)
    assert probe.change_state('/perception', 'configure')
    assert probe.change_state('/perception', 'activate')
    answers(probe, '/image', '/perception/semantic')
    process.terminate()
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 0, output


def test_the_shipped_parameter_file_and_own_names_work_from_the_command_line(
    probe: RosProbe, start: Start, tmp_path: Path, project_root: Path
) -> None:
    model = tiny_student(tmp_path / 'tiny.onnx')
    own = tmp_path / 'robot.yaml'
    own.write_text(f'/front/eyes:\n  ros__parameters:\n    model: {model}\n    image_topic: color\n', encoding='utf-8')
    shipped = project_root / 'config' / 'perception.yaml'
    start(
        '-r', '__ns:=/front', '-r', '__node:=eyes', '--params-file', str(shipped), '--params-file', str(own),
        '-r', '~/semantic:=/labels',
    )  # fmt: skip
    answers(probe, '/front/color', '/labels')


@pytest.mark.parametrize(
    ('arguments', 'explanation'),
    [
        (('-p', 'score_threshold:=1.5'), "parameter 'score_threshold' must be 0.0 to 1.0"),
        (('-p', 'score_threshold:=1'), "parameter 'score_threshold' must be of type double (write 0.5, with a point)"),
        (('-p', 'output_size:=huge'), "parameter 'output_size' must be 'image' or 'network', not 'huge'"),
        (('-p', 'image_topic:=my camera'), "parameter 'image_topic' must be a topic name"),
        (('-p', 'model:=3'), "parameter 'model' must be of type string"),
        (('--params-file', '/nowhere.yaml'), '/nowhere.yaml'),
        (('-p', 'providers:=[]'), "parameter 'providers' must not be empty"),
        (('-p', 'use_sim_time:="true"'), 'write true or false, without quotes'),
        (('-p', 'use_sim_time:=[]'), 'write true or false, without quotes'),
        (('-p', 'use_sim_time:=maybe'), 'write true or false, without quotes'),
        (('-p', 'sixteen_bit_range:=8'), "parameter 'sixteen_bit_range' must be 'auto' or 'full' or '9'"),
        (('-p', 'target_frame_timeout_s:=2.0'), "parameter 'target_frame_timeout_s' must be 0.0 to 1.0"),
        (('-p', 'rectified:=perhaps'), "parameter 'rectified' must be 'auto' or 'true' or 'false', not 'perhaps'"),
    ],
)
def test_a_bad_start_is_explained_in_one_line(start: Start, arguments: tuple[str, ...], explanation: str) -> None:
    process = start(*arguments)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2, output
    assert explanation in output
    assert 'Traceback' not in output
    assert len([line for line in output.splitlines() if line.startswith('perception: ')]) == 1


def test_a_parameter_file_for_another_node_is_named(start: Start, tmp_path: Path) -> None:
    file = tmp_path / 'robot.yaml'
    file.write_text('/front/eyes:\n  ros__parameters:\n    threads: 1\n', encoding='utf-8')
    process = start('-p', 'autostart:=false', '--params-file', str(file))
    time.sleep(3)
    process.terminate()
    output, _ = process.communicate(timeout=20)
    assert f'{file} has parameters for /front/eyes and none for /perception: nothing of it is used' in output
