# SPDX-License-Identifier: Apache-2.0
"""Fast DDS reads another variable from Kilted on, and warns about the old one."""

from __future__ import annotations

import importlib.metadata

import pytest

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
