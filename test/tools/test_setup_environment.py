# SPDX-License-Identifier: Apache-2.0
"""The decisions of tools/setup_environment.py; that it works as a whole is shown by every run of `make test`."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
import setup_environment
from setup_environment import (
    environment_fits,
    installed_files,
    is_ready,
    link_installed_files,
    require_wheel_platform,
    sourced_ros,
    stage_digest,
    stamp_path,
    supported,
)
from setup_error import SetupError

CONFIGURATION = 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.7\n'


@pytest.mark.parametrize(
    ('version', 'expected'), [((3, 9), False), ((3, 10), True), ((3, 13), True), ((3, 14), False), ((2, 7), False)]
)
def test_supported_pythons(version: tuple[int, int], expected: bool) -> None:
    assert supported(version) is expected


@pytest.mark.parametrize(('system', 'machine'), [('Linux', 'aarch64'), ('Darwin', 'arm64'), ('Darwin', 'x86_64')])
def test_other_machines_are_told_to_source_ros(system: str, machine: str) -> None:
    with pytest.raises(SetupError, match=r'source /opt/ros/jazzy/setup\.bash') as caught:
        require_wheel_platform(system, machine)
    assert machine in str(caught.value)


def test_linux_on_x86_64_has_wheels() -> None:
    require_wheel_platform('Linux', 'x86_64')


def test_a_shell_without_ros_uses_the_wheels() -> None:
    assert sourced_ros({}, sys.executable) is None
    assert sourced_ros({'ROS_DISTRO': ''}, sys.executable) is None


def test_a_sourced_ros_is_used_when_this_python_can_import_it() -> None:
    assert sourced_ros({'ROS_DISTRO': 'jazzy'}, sys.executable) == 'jazzy'


@pytest.mark.parametrize(
    ('importable', 'remedy'), [((), r'PYTHON=/usr/bin/python3'), (('rclpy',), 'ros-humble-vision-msgs')]
)
def test_a_sourced_ros_that_cannot_be_used_is_explained(
    tmp_path: Path, importable: tuple[str, ...], remedy: str
) -> None:
    python = tmp_path / 'python'
    cases = ''.join(f'  "import {module}") exit 0 ;;\n' for module in importable)
    python.write_text(f'#!/bin/sh\ncase "$2" in\n{cases}  *) exit 1 ;;\nesac\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(SetupError, match=remedy):
        sourced_ros({'ROS_DISTRO': 'humble'}, str(python))


@pytest.mark.parametrize(
    ('configuration', 'version', 'with_ros', 'expected'),
    [
        (CONFIGURATION, '3.11.7', False, True),
        (CONFIGURATION, '3.11.8', False, False),
        (CONFIGURATION, '3.11.7', True, False),
        (CONFIGURATION.replace('false', 'true'), '3.11.7', True, True),
        ('', '3.11.7', False, False),
    ],
)
def test_an_environment_of_another_python_or_another_ros_is_replaced(
    configuration: str, version: str, with_ros: bool, expected: bool
) -> None:
    assert environment_fits(configuration, version, with_ros) is expected


def test_an_environment_is_ready_only_when_it_was_completed_with_the_same_digest(tmp_path: Path) -> None:
    assert not is_ready(tmp_path, 'demo', 'abc')
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python').touch()
    assert not is_ready(tmp_path, 'demo', 'abc')
    stamp_path(tmp_path, 'demo').write_text('abc')
    assert is_ready(tmp_path, 'demo', 'abc')
    assert not is_ready(tmp_path, 'demo', 'abd')
    assert not is_ready(tmp_path, 'test', 'abc')


def test_the_digest_tells_stages_and_kinds_of_ros_apart() -> None:
    digests = {stage_digest(stage, ros) for stage in ('demo', 'test') for ros in (None, 'jazzy', 'kilted')}
    assert len(digests) == 6
    assert stage_digest('demo', None) == stage_digest('demo', None)


def test_a_removed_copy_becomes_a_link_to_the_source(tmp_path: Path) -> None:
    root, environment = tmp_path / 'source', tmp_path / 'environment'
    (root / 'config' / '__pycache__').mkdir(parents=True)
    (root / 'config' / 'a.yaml').write_text('new')
    (root / 'config' / '__pycache__' / 'a.pyc').touch()
    copy = environment / 'share' / 'cast_ros' / 'config' / 'a.yaml'
    copy.parent.mkdir(parents=True)
    copy.write_text('old')
    link_installed_files(root, environment)
    link_installed_files(root, environment)
    assert copy.is_symlink()
    assert copy.read_text() == 'new'
    assert not copy.parent.is_symlink()
    assert not any('__pycache__' in place for place in installed_files(root))


def test_a_wrong_call_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert setup_environment.main(['dmeo']) == 2
    assert capsys.readouterr().err == 'Set-up stopped: Usage: setup_environment.py demo|test|robot|kilted|peers\n'


def test_a_stage_brings_all_that_the_stages_it_covers_need() -> None:
    for name, stage in setup_environment.STAGES.items():
        assert name in stage.covers
        for covered in (setup_environment.STAGES[other] for other in stage.covers):
            assert set(covered.extras) <= set(stage.extras)
            assert set(covered.messages) <= set(stage.messages)


def test_the_files_that_a_stage_installs_from_exist() -> None:
    for stage in setup_environment.STAGES.values():
        names = [stage.constraints, stage.without_dependencies, stage.distribution and f'ros-{stage.distribution}.txt']
        assert [name for name in names if name and not (setup_environment.REQUIREMENTS / name).is_file()] == []


def test_what_is_agpl_reaches_the_environment_of_the_peers_alone() -> None:
    reached = set()
    for stage in setup_environment.STAGES.values():
        names = [name for name in (stage.constraints, stage.without_dependencies) if name]
        lines = [line for name in names for line in (setup_environment.REQUIREMENTS / name).read_text().splitlines()]
        if any(line.startswith('ultralytics') for line in lines):
            reached.add(stage.folder)
    assert reached == {'.venv-peers'}
