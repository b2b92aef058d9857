# SPDX-License-Identifier: Apache-2.0
"""Parameter files of which nothing is used."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from cast_ros.nodes.declaration import unused_files


@pytest.mark.parametrize(
    ('sections', 'is_used'),
    [
        ('/**:', True),
        ('/*:', False),
        ('/*/*:', True),
        ('/**/eyes:', True),
        ('/front/eyes:', True),
        ('front/eyes:', True),
        ('/front:\n  eyes:', True),
        ('eyes:', False),
        ('/rear/eyes:', False),
        ('/front/eye.:', False),
    ],
)
def test_a_file_is_used_if_one_of_its_sections_is_for_the_node(tmp_path: Path, sections: str, is_used: bool) -> None:
    file = tmp_path / 'robot.yaml'
    depth = sections.count('\n') + 1
    file.write_text(f'{sections}\n{"  " * depth}ros__parameters:\n{"  " * depth}  threads: 1\n', encoding='utf-8')
    found = unused_files(['node', '--ros-args', '--params-file', str(file)], '/front/eyes')
    assert bool(found) is not is_used


@pytest.mark.parametrize('content', ['', '{', 'words', '- 1\n'])
def test_what_is_no_parameter_file_is_left_to_rcl(tmp_path: Path, content: str) -> None:
    (tmp_path / 'robot.yaml').write_text(content, encoding='utf-8')
    assert unused_files(['--params-file', str(tmp_path / 'robot.yaml'), '--params-file', '/nowhere'], '/eyes') == []
