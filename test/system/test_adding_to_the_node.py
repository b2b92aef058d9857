# SPDX-License-Identifier: Apache-2.0
"""What it takes to add a parameter and a topic: each is added to a copy of the sources, whose own tests then pass.

The counts are those of CONTRIBUTING.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from launch_resolving import resolve

if TYPE_CHECKING:
    from play_launch import PlayLaunch

WRITTEN = {'docs/parameters.md', 'config/perception.yaml'}
COPIED = ('cast_ros', 'config', 'docs', 'launch', 'test', 'tools', 'README.md', 'pyproject.toml')


class Sources:
    """A copy of the sources, and which of its files were changed."""

    def __init__(self, original: Path, root: Path) -> None:
        self.root = root
        for name in COPIED:
            if (original / name).is_dir():
                shutil.copytree(original / name, root / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(original / name, root / name)
        self._before = self._contents()

    def put(self, name: str, before: str, text: str) -> None:
        """Insert text before the only place where a file says `before`."""
        path = self.root / name
        content = path.read_text(encoding='utf-8')
        assert content.count(before) == 1, (name, before)
        path.write_text(content.replace(before, text + before), encoding='utf-8')

    def run(self, *arguments: str) -> str:
        environment = {**os.environ, 'PYTHONPATH': str(self.root), 'PYTHONDONTWRITEBYTECODE': '1'}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def changed(self) -> set[str]:
        after = self._contents()
        return {name for name in after if after[name] != self._before.get(name)}

    def _contents(self) -> dict[str, bytes]:
        files = (path for name in COPIED for path in (self.root / name, *(self.root / name).rglob('*')))
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture
def sources(project_root: Path, tmp_path: Path) -> Sources:
    (tmp_path / 'copy').mkdir()
    return Sources(project_root, tmp_path / 'copy')


def test_a_parameter_is_one_field(sources: Sources) -> None:
    sources.put(
        'cast_ros/nodes/parameters.py',
        '    overlay_alpha: float',
        "    overlay_width: int = parameter(2, ANY_TIME, 'Width of outlines, pixels.', within=(1, 9))\n",
    )
    sources.run('-m', 'cast_ros.nodes.parameters')
    program = """
import rclpy
from rclpy.parameter import Parameter
from cast_ros.nodes.perception_node import PerceptionNode
rclpy.init()
node = PerceptionNode(parameter_overrides=[Parameter('autostart', value=False), Parameter('overlay_width', value=3)])
print(node._settings.overlay_width, node.describe_parameter('overlay_width').integer_range[0].to_value)
print(node.set_parameters([Parameter('overlay_width', value=5)])[0].successful, node._settings.overlay_width)
print(node.set_parameters([Parameter('overlay_width', value=10)])[0].successful, node._settings.overlay_width)
print(node.set_parameters([Parameter('overlay_width', value=0.5)])[0].successful)
"""
    assert sources.run('-c', program).split() == ['3', '9', 'True', '5', 'False', '5', 'False']
    page = (sources.root / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    assert '| `overlay_width` | integer | `2` | 1 to 9 | at any time; the next frame uses it | Width of out' in page
    sources.run('-m', 'pytest', '-p', 'no:cacheprovider', 'test/cast_ros/nodes/test_parameters.py')
    # Three; the fourth is where it is used.
    assert sources.changed() == {'cast_ros/nodes/parameters.py', *WRITTEN}


def test_a_topic_is_six_files_and_its_test(sources: Sources, model: Path) -> None:
    add_topic(sources)
    program = """
import sys, rclpy
from rclpy.parameter import Parameter
from cast_ros.nodes.perception_node import PerceptionNode
from cast_ros.offline.harness.recorder import Recorder
rclpy.init()
values = {'autostart': False, 'model': sys.argv[1], 'mean_depth_topic': '/mine'}
node = PerceptionNode(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
node.trigger_configure()
print(*(one.msg_type.__name__ for one in node.publishers if one.topic_name == '/mine'))
print(*Recorder(node, ['depth'], ['mean_depth'])._subscriptions)
node.close()
"""
    assert sources.run('-c', program, str(model)).split()[-2:] == ['Float32', 'mean_depth']
    node = 'test/cast_ros/nodes'
    tests = [f'{node}/test_parameters.py', f'{node}/test_outputs.py', 'test/repository/test_deploy.py']
    sources.run('-m', 'pytest', '-p', 'no:cacheprovider', *tests)
    assert sources.changed() == {
        'cast_ros/nodes/topics.py',
        'cast_ros/nodes/outputs.py',
        'config/deploy/sros2_policy.xml',
        'docs/topics.md',
        *WRITTEN,
    }


def test_a_topic_is_a_launch_argument(sources: Sources, launcher: PlayLaunch, tmp_path: Path) -> None:
    add_topic(sources)
    launcher = replace(launcher, variables={**launcher.variables, 'PYTHONPATH': str(sources.root)})
    file = str(sources.root / 'launch' / 'perception.launch.py')
    node = resolve(launcher, tmp_path, file, mean_depth_topic='/mine')['/perception']
    assert node['params'] == {'mean_depth_topic': '/mine'}


def add_topic(sources: Sources) -> None:
    name, message = '~/depth/mean', 'std_msgs/Float32'
    sources.put(
        'cast_ros/nodes/topics.py',
        "    Topic(\n        'overlay',",
        f"    Topic('mean_depth', '{name}', '{message}', 'mean depth in metres', needs=_DEPTH),\n",
    )
    outputs = 'cast_ros/nodes/outputs.py'
    sources.put(outputs, 'Header\nfrom vision_msgs', 'Float32, ')
    sources.put(outputs, "    'overlay': overlay_message,\n", "    'mean_depth': mean_depth_message,\n")
    sources.put(
        outputs,
        'def overlay_message(',
        'def mean_depth_message(answer: Answer) -> Float32:\n'
        '    """Of the pixels with a depth."""\n'
        '    depth_m = _present(answer.prediction.depth)\n'
        '    return Float32(data=float(depth_m[np.isfinite(depth_m)].mean()))\n\n\n',
    )
    sources.put('docs/topics.md', '| `~/overlay`', f'| `{name}` | `{message}` | reliable, keep last 5 | metres |\n')
    sources.put('config/deploy/sros2_policy.xml', '<topic>~/overlay</topic>', f'<topic>{name}</topic>\n            ')
    sources.run('-m', 'cast_ros.nodes.parameters')
