# SPDX-License-Identifier: Apache-2.0
"""`cast warm` as a user runs it: in a process of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from tiny_student import tiny_student

from cast_ros.cli.warm import progress_on
from cast_ros.student.trial import Progress


def cast(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_says_which_provider_runs_and_that_there_is_nothing_to_build(tmp_path: Path) -> None:
    done = cast('warm', tiny_student(tmp_path / 'tiny.onnx'))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == 'provider in use: CPUExecutionProvider'
    assert lines[1].startswith('nothing to build')
    assert lines[2].startswith('first load ')


def test_prints_json_for_programs(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'tiny.onnx')
    document = json.loads(cast('warm', path, '--provider', 'CPUExecutionProvider', '--json').stdout)
    assert (document['provider'], document['folder'], document['new_bytes']) == ('CPUExecutionProvider', None, 0)
    assert document['timing']['inference_ms'] > 0


@pytest.mark.parametrize(
    ('provider', 'message'),
    [
        ('tensorrt', 'has no TensorrtExecutionProvider'),
        ('openvino', 'has no OpenVINOExecutionProvider'),
        ('npu', "there is no provider 'npu'; name one of cpu, cuda, tensorrt, openvino"),
    ],
)
def test_a_provider_that_is_not_there_is_one_line_and_exit_code_2(provider: str, message: str, tmp_path: Path) -> None:
    done = cast('warm', tiny_student(tmp_path / 'tiny.onnx'), '--provider', provider)
    assert (done.returncode, done.stdout) == (2, '')
    assert message in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr


def test_progress_is_a_line_every_ten_seconds_where_there_is_no_terminal() -> None:
    log = io.StringIO()
    with progress_on(Console(file=log, width=20), 'street.onnx for TensorrtExecutionProvider') as show:
        for half_seconds in range(1, 62):
            show(Progress(half_seconds / 2, 100_000 * half_seconds))
    assert log.getvalue().splitlines() == [
        'street.onnx for TensorrtExecutionProvider: 10 s, 2.0 MB',
        'street.onnx for TensorrtExecutionProvider: 20 s, 4.0 MB',
        'street.onnx for TensorrtExecutionProvider: 30 s, 6.0 MB',
    ]


def test_progress_is_a_line_that_changes_on_a_terminal() -> None:
    screen = io.StringIO()
    with progress_on(Console(file=screen, force_terminal=True, width=80), 'street.onnx for cpu') as show:
        show(Progress(1.2, 3_400_000))
    assert 'street.onnx for cpu: 1 s, 3.4 MB' in screen.getvalue()
