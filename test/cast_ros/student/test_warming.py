# SPDX-License-Identifier: Apache-2.0
"""Compiling beforehand, with the provider that every machine has."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_student import tiny_student

from cast_ros.cli.warm import lines_of
from cast_ros.errors import StudentError
from cast_ros.student import LoadOptions, Timing
from cast_ros.student.trial import Progress, Warmed, warm

TIMING = Timing(preprocess_ms=1.0, inference_ms=2.0, postprocess_ms=3.0)


def test_the_cpu_has_nothing_to_build_but_the_model_is_tried(tmp_path: Path) -> None:
    seen: list[Progress] = []
    options = LoadOptions(threads=1, cache=tmp_path / 'engines')
    found = warm(tiny_student(tmp_path / 'tiny.onnx'), options, seen.append, period_s=0.01)
    assert (found.provider, found.folder, found.engine_bytes, found.new_bytes) == ('CPUExecutionProvider', None, 0, 0)
    assert found.first_load_s > found.second_load_s > 0
    assert found.timing.inference_ms > 0
    # The child alone imports onnxruntime for tenths of a second.
    assert len(seen) >= 3
    assert [one.seconds for one in seen] == sorted(one.seconds for one in seen)
    assert 0 < seen[0].seconds < seen[-1].seconds <= found.first_load_s
    assert {one.engine_bytes for one in seen} == {0}
    assert not (tmp_path / 'engines').exists()


def test_a_broken_student_is_refused(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'tiny.onnx', contract=None)
    with pytest.raises(StudentError, match='without a contract'):
        warm(path, LoadOptions(threads=1), lambda _: None)


def test_a_load_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match='did not load within 0 s'):
        warm(tiny_student(tmp_path / 'x.onnx'), LoadOptions(threads=1), lambda _: None, 0.05)


@pytest.mark.parametrize(
    ('engine_bytes', 'new_bytes', 'words'),
    [
        (5_000_000, 5_000_000, 'engines built: engines/tensorrt/abc (5.0 MB)'),
        (5_000_000, 0, 'engines were there already: engines/tensorrt/abc (5.0 MB)'),
        (0, 0, 'no engine was written to engines/tensorrt/abc'),
    ],
)
def test_what_happened_to_the_engines_is_said(engine_bytes: int, new_bytes: int, words: str) -> None:
    folder = Path('engines/tensorrt/abc')
    lines = lines_of(Warmed('TensorrtExecutionProvider', folder, engine_bytes, new_bytes, 61.24, 0.5, TIMING))
    assert lines[0] == 'provider in use: TensorrtExecutionProvider'
    assert lines[1].startswith(words)
    assert lines[2] == 'first load 61.2 s, from now on 0.5 s; inference 2.0 ms'
