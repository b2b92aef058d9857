# SPDX-License-Identifier: Apache-2.0
"""Launch files and parameter files agree with what is installed and declared, checked without running them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from cast_ros.nodes.parameters import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
TABLE = {parameter.name: parameter for parameter in PARAMETERS}
DECLARED_BY_RCLPY = {'use_sim_time'}


def calls_of(launch_file: Path, *names: str) -> list[ast.Call]:
    tree = ast.walk(ast.parse(launch_file.read_text(encoding='utf-8')))
    calls = [node for node in tree if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in names]


def started_nodes(launch_file: Path) -> list[dict[str, object]]:
    """Literal keyword arguments of every Node(...) and LifecycleNode(...) call."""
    return [
        {keyword.arg: keyword.value.value for keyword in call.keywords if isinstance(keyword.value, ast.Constant)}
        for call in calls_of(launch_file, 'Node', 'LifecycleNode')
    ]


def started_programs(launch_file: Path) -> list[str]:
    """The first word of every ExecuteProcess(cmd=...)."""
    commands = [
        next(keyword.value for keyword in call.keywords if keyword.arg == 'cmd')
        for call in calls_of(launch_file, 'ExecuteProcess')
    ]
    return [
        next(str(word.value) for word in ast.walk(command) if isinstance(word, ast.Constant)) for command in commands
    ]


@pytest.mark.parametrize('launch_file', LAUNCH_FILES, ids=lambda path: path.name)
def test_every_executable_of_a_launch_file_is_installed(launch_file: Path, installed_prefix: Path) -> None:
    nodes, programs = started_nodes(launch_file), started_programs(launch_file)
    assert nodes or programs or 'perception.launch.py' in launch_file.read_text(encoding='utf-8')
    for program in programs:
        assert (installed_prefix / 'bin' / program).is_file()
    for node in nodes:
        assert node['package'] == 'cast_ros'
        assert (installed_prefix / 'lib' / 'cast_ros' / str(node['executable'])).is_file()


@pytest.mark.parametrize('launch_file', LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_stay_thin(launch_file: Path) -> None:
    # Event handlers differ between ROS distributions and interpreters of launch files; the node brings itself up.
    source = launch_file.read_text(encoding='utf-8')
    assert 'launch_ros.events' not in source
    assert 'event_handlers' not in source


def test_the_parameter_file_sets_declared_parameters_to_allowed_values() -> None:
    text = (ROOT / 'config' / 'perception.yaml').read_text(encoding='utf-8')
    sections = yaml.safe_load(text)
    values = {name: value for section in sections.values() for name, value in section['ros__parameters'].items()}
    assert set(values) - DECLARED_BY_RCLPY <= set(TABLE)
    problems = [TABLE[name].problem(value) for name, value in values.items() if name in TABLE]
    assert [problem for problem in problems if problem] == []
