# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests, and the ROS environment of the whole session."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from ros_environment import private_ros_environment

ROOT = Path(__file__).resolve().parent.parent

ROS_HOME = tempfile.TemporaryDirectory(prefix='cast_ros-test-', ignore_cleanup_errors=True)

# At import, so before any test module imports rclpy, and so that child processes of tests inherit it.
os.environ.update(private_ros_environment(Path(ROS_HOME.name)))

# A shell starts background jobs with SIGINT ignored, and children inherit that: what tests interrupt would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-faults` writes docs/faults.md from what the fault suite saw."""
    parser.addoption('--write-faults', action='store_true', help='write docs/faults.md anew')


@pytest.fixture(scope='session')
def project_root() -> Path:
    """The root of the source tree."""
    return ROOT


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """The data folder that stands beside the source tree on development machines."""
    folder = ROOT.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip('needs ../shared/data beside the source tree')
    return folder
