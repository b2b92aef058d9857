# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from cast_ros.errors import ParameterError
from cast_ros.nodes import parameters
from cast_ros.nodes.declaration import descriptor_of
from cast_ros.nodes.parameters import BY_NAME, PARAMETERS, Settings
from cast_ros.nodes.topics import OUTPUTS, TOPICS
from cast_ros.student import LoadOptions

DEFAULTS = {row.name: row.default for row in PARAMETERS}


def value_of(settings: Settings, name: str) -> Any:
    """By the name of the parameter, topics included."""
    return {**dataclasses.asdict(settings), **{topic.parameter: settings.topics[topic.name] for topic in TOPICS}}[name]


def test_every_field_and_every_topic_is_a_parameter() -> None:
    fields = [field.name for field in dataclasses.fields(Settings) if field.name != 'topics']
    assert [row.name for row in PARAMETERS] == fields + [topic.parameter for topic in TOPICS]
    assert len(BY_NAME) == len(PARAMETERS)


def test_descriptors_carry_range_and_read_only() -> None:
    threshold = descriptor_of(BY_NAME['score_threshold'])
    assert (threshold.floating_point_range[0].from_value, threshold.floating_point_range[0].to_value) == (0.0, 1.0)
    assert not threshold.read_only
    assert descriptor_of(BY_NAME['threads']).integer_range[0].to_value == 256
    assert descriptor_of(BY_NAME['image_topic']).read_only
    assert 'read-only' in descriptor_of(BY_NAME['autostart']).description


def test_the_reference_page_is_current(project_root: Path) -> None:
    page = (project_root / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    assert page == parameters.reference_page(), 'run: make docs'


def test_the_shipped_parameter_file_holds_every_parameter_at_its_default(project_root: Path) -> None:
    text = (project_root / 'config' / 'perception.yaml').read_text(encoding='utf-8')
    assert text == parameters.parameter_file(), 'run: make docs'
    document = yaml.safe_load(text)
    assert document == {'/**': {'ros__parameters': DEFAULTS}}


def test_every_topic_has_a_line_in_the_topic_page_with_its_type_and_quality(project_root: Path) -> None:
    page = (project_root / 'docs' / 'topics.md').read_text(encoding='utf-8')
    for topic in TOPICS:
        cells = next(line for line in page.splitlines() if line.startswith(f'| `{topic.default}` |')).split('|')
        assert cells[2].strip() == f'`{topic.message}` {topic.encoding}'.strip(), topic.name
        if topic in OUTPUTS:
            latched = ', transient local' if topic.latched else ''
            assert cells[3].strip() == f'reliable{latched}, keep last {topic.depth}', topic.name
        assert BY_NAME[topic.parameter].default == topic.default


def test_every_default_is_allowed_by_its_own_row() -> None:
    settings = Settings.from_values(DEFAULTS)
    assert settings == Settings()
    assert {row.name: value_of(settings, row.name) for row in PARAMETERS} == DEFAULTS


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
    assert value_of(Settings.from_values({**DEFAULTS, name: value}), name) == value


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
