# SPDX-License-Identifier: Apache-2.0
"""The first load in a child process."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from tiny_student import tiny_student

from cast_ros.errors import StudentError
from cast_ros.student import LoadOptions
from cast_ros.student.trial import run_child, try_load


def test_a_good_student_passes_and_is_not_tried_twice(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'tiny.onnx')
    try_load(path)
    started_s = time.monotonic()
    for _ in range(3):
        try_load(path)
    assert time.monotonic() - started_s < 0.2


def test_what_is_wrong_is_said_as_if_there_were_no_child(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'tiny.onnx', contract={'schema': '9.0'})
    with pytest.raises(StudentError, match=r"tiny\.onnx: the contract has schema '9\.0'"):
        try_load(path)
    with pytest.raises(StudentError, match='has no NonsenseExecutionProvider'):
        try_load(tiny_student(tmp_path / 'good.onnx'), LoadOptions(('NonsenseExecutionProvider',)))
    with pytest.raises(StudentError, match='there is no such file'):
        try_load(tmp_path / 'absent.onnx')


@pytest.mark.parametrize('name', ['SIGSEGV', 'SIGABRT'])
def test_a_crash_of_the_child_is_an_error_here(tmp_path: Path, name: str) -> None:
    crash = f'import os, signal; os.kill(os.getpid(), signal.{name})'
    with pytest.raises(StudentError, match=rf'student\.onnx: crashes onnxruntime \({name}\)'):
        run_child([sys.executable, '-c', crash], tmp_path / 'student.onnx', 20)


@pytest.mark.parametrize('name', ['SIGKILL', 'SIGTERM'])
def test_a_child_that_was_killed_is_not_blamed_on_the_file(tmp_path: Path, name: str) -> None:
    kill = f'import os, signal; os.kill(os.getpid(), signal.{name})'
    with pytest.raises(
        StudentError, match=rf'was killed \({name}\), as happens when memory runs out; .*free'
    ) as caught:
        run_child([sys.executable, '-c', kill], tmp_path / 'student.onnx', 20)
    assert 'trust' not in str(caught.value)


def test_a_child_that_nobody_wants_any_more_is_ended(tmp_path: Path) -> None:
    """It tells its process id, by a file, and would live for a minute."""
    told = tmp_path / 'pid'
    script = (
        'import os, pathlib, sys, time; new = pathlib.Path(sys.argv[1] + ".new"); new.write_text(str(os.getpid())); '
        'new.rename(sys.argv[1]); time.sleep(60)'
    )
    started_s = time.monotonic()
    with pytest.raises(StudentError, match=r'student\.onnx: its first load was ended before it was done'):
        run_child([sys.executable, '-c', script, str(told)], tmp_path / 'student.onnx', 50, told.exists)
    assert time.monotonic() - started_s < 30
    assert not Path(f'/proc/{told.read_text()}').exists()


def test_a_load_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match='did not load within 0 s'):
        run_child([sys.executable, '-c', 'import time; time.sleep(60)'], tmp_path / 'student.onnx', 0.3)


def test_a_child_without_a_word_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match='it said nothing'):
        run_child([sys.executable, '-c', 'raise SystemExit(1)'], tmp_path / 'student.onnx', 20)
