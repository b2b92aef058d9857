# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from cast_ros.errors import ParameterError
from cast_ros.nodes.parameters import PARAMETERS
from cast_ros.nodes.settings import Settings
from cast_ros.student import LoadOptions

DEFAULTS = {row.name: row.default for row in PARAMETERS}


def test_settings_have_one_field_per_row_of_the_table() -> None:
    assert [field.name for field in dataclasses.fields(Settings)] == [row.name for row in PARAMETERS]


def test_every_default_is_allowed_by_its_own_row() -> None:
    settings = Settings.from_values(DEFAULTS)
    assert dataclasses.asdict(settings) == DEFAULTS


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('score_threshold', 1.01, 'must be 0.0 to 1.0, not 1.01'),
        ('score_threshold', -0.01, 'must be 0.0 to 1.0'),
        ('score_threshold', math.nan, 'must be 0.0 to 1.0, not nan'),
        ('score_threshold', 1, 'must be of type double, not 1'),
        ('depth_scale', 0.0, 'must be 0.01 to 100.0'),
        ('depth_scale', math.inf, 'must be 0.01 to 100.0'),
        ('threads', -1, 'must be 0 to 256'),
        ('threads', True, 'must be of type integer, not True'),
        ('max_pixels', 0, 'must be 1 to'),
        ('output_size', 'Image', "must be 'image' or 'network', not 'Image'"),
        ('image_transport', '', "must be 'raw' or 'compressed', not ''"),
        ('providers', [], 'must not be empty'),
        ('providers', ['CPUExecutionProvider', ''], 'must not be empty'),
        ('image_topic', '', 'must not be empty'),
        ('image_topic', 'my camera', 'must be a topic name'),
        ('semantic_topic', '1st', 'must be a topic name'),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_name_and_reason(name: str, value: Any, reason: str) -> None:
    with pytest.raises(ParameterError, match=f"parameter '{name}' {re.escape(reason)}"):
        Settings.from_values({**DEFAULTS, name: value})


@pytest.mark.parametrize(
    ('name', 'value'),
    [('score_threshold', 0.0), ('score_threshold', 1.0), ('threads', 256), ('model', ''), ('image_topic', '~/in')],
)
def test_values_at_the_edge_are_allowed(name: str, value: Any) -> None:
    assert getattr(Settings.from_values({**DEFAULTS, name: value}), name) == value


def test_the_folder_of_engines_is_that_of_the_user_unless_named(tmp_path: Path) -> None:
    assert Settings.from_values(DEFAULTS).load_options == LoadOptions()
    named = Settings.from_values({**DEFAULTS, 'engine_cache_dir': str(tmp_path), 'engine_fp16': True})
    assert named.load_options == LoadOptions(cache=tmp_path, fp16=True)
    at_home = Settings.from_values({**DEFAULTS, 'engine_cache_dir': '~/engines'})
    assert at_home.load_options.cache == Path.home() / 'engines'


def test_a_folder_of_engines_below_a_home_that_does_not_exist_is_refused_by_name() -> None:
    settings = Settings.from_values({**DEFAULTS, 'engine_cache_dir': '~nobody-has-this-name/engines'})
    with pytest.raises(ParameterError, match=r"'engine_cache_dir' is below a home .*: ~nobody-has-this-name/engines"):
        _ = settings.load_options
