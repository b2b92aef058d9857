# SPDX-License-Identifier: Apache-2.0
"""The node where nothing is installed but what a robot needs: the base requirements, onnxruntime and ROS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from node_case import HEIGHT, WIDTH, Case
from sensor_msgs.msg import Image

from cast_ros.images import decode_image

# Of the extras: none of them may be missed by the node, and none may be there.
OFFLINE = ('apsw', 'faster_coco_eval', 'jinja2', 'lz4', 'mcap', 'plotly', 'rich', 'rosbags', 'typer', 'zstandard')
LOADED = f"""
import importlib.util, json, sys
import cast_ros.nodes.perception_node
names = {OFFLINE!r}
there = [name for name in names if importlib.util.find_spec(name)]
print(json.dumps([there, sorted(set(names) & set(sys.modules))]))
"""
# Of ROS's own command line, which a sourced ROS 2 brings.
BROUGHT_BY_ROS = {'jinja2', 'lz4', 'rich', 'typer', 'zstandard'}


@pytest.fixture(scope='module')
def robot(project_root: Path) -> Path:
    """The environment of a robot; the shell's one has tests and training in it."""
    setup = [sys.executable, str(project_root / 'tools' / 'setup_environment.py'), 'robot']
    done = subprocess.run(setup, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return project_root / '.venv-robot'


def environment(robot: Path) -> dict[str, str]:
    return {**os.environ, 'AMENT_PREFIX_PATH': str(robot), 'PYTHONPATH': ''}


def test_the_node_loads_no_library_of_the_workshop_and_none_is_there(robot: Path) -> None:
    command = [robot / 'bin' / 'python', '-c', LOADED]
    done = subprocess.run(command, env=environment(robot), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    there, loaded = json.loads(done.stdout)
    assert loaded == []
    assert set(there) <= (BROUGHT_BY_ROS if os.environ.get('ROS_DISTRO') else set())


def test_the_node_answers_a_picture_there_with_the_shipped_student(robot: Path, case: Case) -> None:
    command = [robot / 'lib' / 'cast_ros' / 'perception', '--ros-args', '-r', f'__ns:={case.namespace}']
    with subprocess.Popen(command, env=environment(robot), stderr=subprocess.PIPE, text=True) as node:
        try:
            answers = case.probe.listen(Image, f'{case.name}/semantic')
            camera = case.camera()
            case.probe.publish_until(
                lambda: camera.publish(case.picture()), lambda: answers, 'an answer', deadline_s=60.0
            )
        finally:
            node.terminate()
            said = node.communicate(timeout=20)[1]
    assert answers[0].header in case.sent
    assert decode_image(answers[0]).shape == (HEIGHT, WIDTH)
    assert node.returncode == 0, said


def test_the_command_says_in_one_line_what_is_missing_there(robot: Path) -> None:
    command = [robot / 'bin' / 'cast', 'inspect', 'models/streets-small.onnx']
    done = subprocess.run(command, env=environment(robot), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("cast: needs the extra 'offline' (No module named 'typer'): pip install ")
    assert done.stderr.count('\n') == 1
