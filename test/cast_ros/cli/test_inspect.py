# SPDX-License-Identifier: Apache-2.0
"""`cast inspect` and the frame of the command line, run as a user runs it: in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_student import tiny_student

import cast_ros


def cast(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', *map(str, arguments)]
    variables = {**os.environ, 'COLUMNS': '120', 'NO_COLOR': '1', **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


def test_prints_the_contract(tmp_path: Path) -> None:
    path = tiny_student(
        tmp_path / 'tiny.onnx',
        contract={'metrics': {'streets day val': {'ap50': 0.4125}, 'confusion': [[8, 1, 0], [2, 9, 4]]}},
    )
    done = cast('inspect', path)
    assert (done.returncode, done.stderr) == (0, '')
    for line in (
        'student          tiny 0.0.1',
        'licence          Apache-2.0',
        f'sha256           {hashlib.sha256(path.read_bytes()).hexdigest()}',
        'input            128×64 pixels, rgb, stretch',
        'output masks     1×2×16×32',
        'depth            metre, cap 80 m, reference fx 100 px',
        'recipe  made by hand',
        'streets day val.ap50  0.4125',
        'confusion             2×3 values, see --json',
    ):
        assert line in done.stdout.splitlines()
    assert '│ 3  │ car    │ thing │ ██ 0 0 142    │' in done.stdout


def test_prints_json_for_programs(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'tiny.onnx', heads=('semantic',))
    document = json.loads(cast('inspect', path, '--json').stdout)
    assert document['contract']['schema'] == '1.0'
    assert document['contract']['depth'] is None
    assert document['output_shapes'] == {'semantic': [1, 16, 32]}
    assert document['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert document['size_bytes'] == path.stat().st_size


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    done = cast('inspect', tiny_student(tmp_path / 'tiny.onnx', name='[red]tiny[/]'))
    assert 'student          [red]tiny[/] 0.0.1' in done.stdout


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'# Readme\n', 'is a text file'),
        (b'', 'is an empty file'),
        (bytes(range(200)), 'is not an ONNX file'),
        (None, 'no such file'),
    ],
)
def test_says_in_one_line_why_a_file_is_no_student(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / 'README.md'
    if content is not None:
        path.write_bytes(content)
    done = cast('inspect', path)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.count('\n') == 1
    assert str(path) in done.stderr
    assert reason.removeprefix('is ') in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('arguments', [('inspect',), ('nonsense',), ('inspect', 'a', 'b')])
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = cast(*arguments)
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr


def test_prints_its_version() -> None:
    assert cast('--version').stdout == f'cast_ros {cast_ros.__version__}\n'


def test_help_needs_no_ros_no_torch_and_no_runtime() -> None:
    blocked = ('rclpy', 'torch', 'onnxruntime', 'vision_msgs')
    script = (
        f'import sys\nfor name in {blocked}: sys.modules[name] = None\n'
        "sys.argv = ['cast', '--help']\nfrom cast_ros.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert 'inspect' in done.stdout
