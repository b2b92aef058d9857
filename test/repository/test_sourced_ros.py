# SPDX-License-Identifier: Apache-2.0
"""Tests start where a sourced ROS 2 brings pytest plugins of its own that this pytest cannot load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# The hook of launch_testing in Jazzy; pytest 9 has no argument `path` any more.
OLD_HOOK = 'def pytest_pycollect_makemodule(path, parent):\n    return None\n'
PLUGINS = ('launch_testing', 'launch_testing_ros_pytest_entrypoint', 'launch_pytest')


@pytest.fixture
def sourced(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with those plugins, as a sourced ROS 2 adds its own."""
    for name in PLUGINS:
        (tmp_path / f'{name}_hooks.py').write_text(OLD_HOOK)
        (tmp_path / f'{name}-3.4.10.dist-info').mkdir()
        (tmp_path / f'{name}-3.4.10.dist-info' / 'METADATA').write_text(f'Name: {name}\nVersion: 3.4.10\n')
        (tmp_path / f'{name}-3.4.10.dist-info' / 'entry_points.txt').write_text(f'[pytest11]\n{name} = {name}_hooks\n')
    return tmp_path


def collect(root: Path, sourced: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'pytest', '--collect-only', 'test/repository/test_sources.py', *options]
    return subprocess.run(
        command, cwd=root, env={**os.environ, 'PYTHONPATH': str(sourced)}, capture_output=True, text=True, check=False
    )


def test_tests_start_beside_the_plugins_of_jazzy(project_root: Path, sourced: Path) -> None:
    done = collect(project_root, sourced)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'test_every_python_file_names_its_licence_first' in done.stdout


def test_those_plugins_would_end_pytest_if_they_were_loaded(project_root: Path, sourced: Path) -> None:
    done = collect(project_root, sourced, '--override-ini=addopts=')
    assert done.returncode != 0
    assert 'PluginValidationError' in done.stdout + done.stderr
