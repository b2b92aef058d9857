# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from cast_ros.nodes import parameters
from cast_ros.nodes.outputs import OUTPUTS
from cast_ros.nodes.parameters import BY_NAME, PARAMETERS

DEFAULTS = {row.name: row.default for row in PARAMETERS}


def test_descriptors_carry_range_and_read_only() -> None:
    threshold = BY_NAME['score_threshold'].descriptor()
    assert (threshold.floating_point_range[0].from_value, threshold.floating_point_range[0].to_value) == (0.0, 1.0)
    assert not threshold.read_only
    assert BY_NAME['threads'].descriptor().integer_range[0].to_value == 256
    assert BY_NAME['image_topic'].descriptor().read_only
    assert 'read-only' in BY_NAME['autostart'].descriptor().description


def test_the_reference_page_is_current(project_root: Path) -> None:
    page = (project_root / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    assert page == parameters.reference_page(), 'run: python -m cast_ros.nodes.parameters > docs/parameters.md'


def test_the_shipped_parameter_file_holds_every_parameter_at_its_default(project_root: Path) -> None:
    document = yaml.safe_load((project_root / 'config' / 'perception.yaml').read_text(encoding='utf-8'))
    assert document == {'/**': {'ros__parameters': DEFAULTS}}


def test_every_output_has_a_topic_parameter_and_a_line_in_the_topic_page(project_root: Path) -> None:
    page = (project_root / 'docs' / 'topics.md').read_text(encoding='utf-8')
    for output in OUTPUTS:
        row = BY_NAME[f'{output.name}_topic']
        line = next(line for line in page.splitlines() if line.startswith(f'| `{row.default}`'))
        assert f'/{output.message_type.__name__}`' in line
    for row in PARAMETERS:
        assert not row.is_topic or f'| `{row.default}`' in page, row.name
