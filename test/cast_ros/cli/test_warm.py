# SPDX-License-Identifier: Apache-2.0
"""`cast warm` as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_student import tiny_student


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
