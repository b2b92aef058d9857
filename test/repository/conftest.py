# SPDX-License-Identifier: Apache-2.0
"""cast_ros installed as pip installs it for a user, from a copy of the source tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOT_SOURCE = ('.*', 'out', 'runs', 'build', 'dist', 'install', 'log', '*.egg-info', '__pycache__')


@pytest.fixture(scope='session')
def installed_prefix(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix that `pip install .` has filled; pip would leave build folders in the tree itself."""
    folder = tmp_path_factory.mktemp('installed')
    shutil.copytree(project_root, folder / 'source', ignore=shutil.ignore_patterns(*NOT_SOURCE))
    # Without --ignore-installed pip would first uninstall cast_ros from the environment of these tests.
    pip = [sys.executable, '-m', 'pip', 'install', '-qq', '--no-deps', '--ignore-installed']
    command = [*pip, '--prefix', str(folder / 'prefix'), str(folder / 'source')]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / 'prefix'
