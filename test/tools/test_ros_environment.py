# SPDX-License-Identifier: Apache-2.0
"""Runs of ROS 2 stay on this machine and apart from each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ros_environment import private_ros_environment

from cast_ros.nodes.fastdds import profile_variable


def test_discovery_stays_on_this_machine_in_a_domain_that_varies(tmp_path: Path) -> None:
    made = [private_ros_environment(tmp_path) for _ in range(200)]
    assert {variables['ROS_AUTOMATIC_DISCOVERY_RANGE'] for variables in made} == {'LOCALHOST'}
    domains = {int(variables['ROS_DOMAIN_ID']) for variables in made}
    assert domains <= set(range(1, 102))
    assert len(domains) > 30


def test_pictures_get_the_shared_memory_of_the_shipped_profile(tmp_path: Path) -> None:
    variables = private_ros_environment(tmp_path)
    profile = Path(variables[profile_variable()])
    assert f'<segment_size>{64 * 1024 * 1024}<' in profile.read_text(encoding='utf-8')


def test_the_tests_themselves_run_in_it() -> None:
    assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert 1 <= int(os.environ['ROS_DOMAIN_ID']) <= 101


def test_a_command_is_started_with_it_and_its_exit_code_is_kept(project_root: Path) -> None:
    program = 'import os, sys; print(os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"]); sys.exit(7)'
    command = [sys.executable, project_root / 'tools' / 'ros_environment.py', sys.executable, '-c', program]
    variables = {key: value for key, value in os.environ.items() if key != 'ROS_AUTOMATIC_DISCOVERY_RANGE'}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (7, 'LOCALHOST')
