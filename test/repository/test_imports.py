# SPDX-License-Identifier: Apache-2.0
"""The arrows of docs/architecture.md: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TRAINING_LIBRARIES = {'torch', 'torchvision', 'timm', 'transformers', 'onnxscript', 'tensorboard', 'scipy'}
ROS_SUFFIXES = ('_msgs', '_interfaces')
ROS_PACKAGES = {'rclpy', 'ament_index_python', 'launch', 'launch_ros', 'cv_bridge'}


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every absolute import, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module


def is_ros(module: str) -> bool:
    package = module.partition('.')[0]
    return package in ROS_PACKAGES or package.endswith(ROS_SUFFIXES)


def offences(
    folder: Path, forbidden: set[str] | None = None, *, ros: bool = False, below: tuple[str, ...] = ()
) -> list[str]:
    """Imports of forbidden packages, or of ROS, under a folder; files below the folders in ``below`` are exempt."""
    return [
        f'{path.relative_to(folder)}:{line} imports {module}'
        for path in sorted(folder.rglob('*.py'))
        if not any(path.is_relative_to(folder / exempt) for exempt in below)
        for line, module in imported_modules(path)
        if module.partition('.')[0] in (forbidden or ()) or (ros and is_ros(module))
    ]


def test_the_robot_side_never_imports_the_training_side_or_its_libraries(project_root: Path) -> None:
    assert offences(project_root / 'cast_ros', {'cast_train', *TRAINING_LIBRARIES}) == []


def test_ros_is_imported_by_the_node_and_by_what_starts_it_alone(project_root: Path) -> None:
    assert offences(project_root / 'cast_ros', ros=True, below=('nodes', 'offline/harness')) == []
    assert offences(project_root / 'train', ros=True) == []


def arrows(project_root: Path, into: str, but_from: tuple[str, ...]) -> list[str]:
    """Imports of a package of ours from files of cast_ros outside of some folders."""
    folder = project_root / 'cast_ros'
    return [
        f'{path.relative_to(folder)}:{line} imports {module}'
        for path in sorted(folder.rglob('*.py'))
        if not any(path.is_relative_to(folder / exempt) for exempt in but_from)
        for line, module in imported_modules(path)
        if f'{module}.'.startswith(f'{into}.')
    ]


def test_only_the_command_line_reaches_for_what_is_offline(project_root: Path) -> None:
    assert arrows(project_root, 'cast_ros.offline', but_from=('offline', 'cli')) == []
    assert arrows(project_root, 'cast_ros.cli', but_from=('cli',)) == []


def test_only_what_starts_the_node_reaches_for_it(project_root: Path) -> None:
    assert arrows(project_root, 'cast_ros.nodes', but_from=('nodes', 'offline/harness', 'cli')) == []


def test_the_search_for_arrows_sees_one(tmp_path: Path) -> None:
    for name in ('nodes', 'cli'):
        (tmp_path / 'cast_ros' / name).mkdir(parents=True)
        (tmp_path / 'cast_ros' / name / 'one.py').write_text(
            'def f():\n    from cast_ros.offline.bags import BagReader\n'
        )
    found = arrows(tmp_path, 'cast_ros.offline', but_from=('offline', 'cli'))
    assert found == ['nodes/one.py:2 imports cast_ros.offline.bags']


def test_the_search_sees_what_it_forbids(tmp_path: Path) -> None:
    (tmp_path / 'nodes').mkdir()
    (tmp_path / 'nodes' / 'allowed.py').write_text('import rclpy\n')
    (tmp_path / 'late.py').write_text('def f():\n    from torch.nn import Module\n    import sensor_msgs.msg\n')
    assert offences(tmp_path, {'torch'}, ros=True, below=('nodes',)) == [
        'late.py:2 imports torch.nn',
        'late.py:3 imports sensor_msgs.msg',
    ]


@pytest.mark.parametrize(
    ('modules', 'absent'),
    [
        ('cast_ros.student, cast_ros.offline.replay.evaluation, cast_ros.offline.bags', ('torch', 'rclpy')),
        ('cast_ros.images, cast_ros.overlay, cast_ros.offline.evaluation, cast_ros.cli', ('torch', 'rclpy')),
        # Launch files read these two, under a Python that may have nothing else.
        ('cast_ros.nodes.parameters, cast_ros.nodes.topics', ('rclpy', 'numpy', 'onnxruntime', 'pydantic', 'yaml')),
        ('cast_ros.nodes.perception_node', ('torch', 'cast_train')),
    ],
)
def test_importing_loads_nothing_forbidden(modules: str, absent: tuple[str, ...]) -> None:
    program = f'import {modules}, sys; print(*sorted({set(absent)!r} & set(sys.modules)))'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ''), done.stderr
