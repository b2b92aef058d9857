# SPDX-License-Identifier: Apache-2.0
"""Fast DDS reads another variable from Kilted on, and warns about the old one; programs of ours bring the profile."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

pytest.importorskip('ament_index_python', reason='needs ROS 2: source it, or run make test')

from cast_ros.nodes import fastdds


@pytest.mark.parametrize(
    ('version', 'name'),
    [
        ('3.3.15', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('7.1.5', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('9.1.2', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ('unknown', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_the_variable_follows_the_distribution(monkeypatch: pytest.MonkeyPatch, version: str, name: str) -> None:
    monkeypatch.setattr(fastdds, 'version', lambda _: version)
    assert fastdds.profile_variable() == name


def test_without_rclpy_the_old_name_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(fastdds, 'version', missing)
    assert fastdds.profile_variable() == 'FASTRTPS_DEFAULT_PROFILES_FILE'


def test_a_program_with_both_ends_brings_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ('ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE', fastdds.profile_variable()):
        monkeypatch.setenv(variable, 'set, so that it comes back after the test')
        monkeypatch.delenv(variable)
    fastdds.stay_on_this_machine()
    assert '<segment_size>67108864' in Path(os.environ[fastdds.profile_variable()]).read_text(encoding='utf-8')
    assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert 1 <= int(os.environ['ROS_DOMAIN_ID']) <= 101


def test_what_the_environment_says_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fastdds.profile_variable(), '/robot/profile.xml')
    monkeypatch.setenv('ROS_DOMAIN_ID', '7')
    fastdds.stay_on_this_machine()
    assert (os.environ[fastdds.profile_variable()], os.environ['ROS_DOMAIN_ID']) == ('/robot/profile.xml', '7')
