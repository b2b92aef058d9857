# SPDX-License-Identifier: Apache-2.0
"""Exporting what is missing, once for each state of the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed import exports
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.exports import export_missing
from benchmarks.speed.rows import ROWS, Row
from benchmarks.speed.students import main as export_student
from cast_ros.student import Student

SIZE = (64, 128)


def test_a_student_is_exported_once_and_replaces_one_from_older_sources(tmp_path: Path) -> None:
    older = tmp_path / 'nano-64x128-00000000.onnx'
    another = tmp_path / 'nano-64x256-00000000.onnx'
    older.touch()
    another.touch()
    row = Row('nano', 'student', sizes=(SIZE,))
    path = export_missing(row, SIZE, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([path, another])
    with Student.load(path, threads=1) as student:
        assert (student.contract.input.height, student.contract.input.width) == SIZE
        assert student.contract.provenance == {'weights': 'random'}
    written = path.stat().st_mtime_ns
    assert export_missing(row, SIZE, tmp_path) == path
    assert path.stat().st_mtime_ns == written


def test_a_row_with_a_file_is_that_file(tmp_path: Path) -> None:
    assert export_missing(Row('small-int8', 'student', file=tmp_path / 'x.onnx'), SIZE, tmp_path) == tmp_path / 'x.onnx'
    assert list(tmp_path.iterdir()) == []


def test_an_exporter_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r'huge-64x128 does not export(.|\n)*Usage: students\.py nano'):
        export_missing(Row('huge', 'student', sizes=(SIZE,)), SIZE, tmp_path)


def test_without_the_environment_of_the_peers_it_says_how_to_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, 'PEERS_PYTHON', tmp_path / 'missing')
    row = next(row for row in ROWS if row.name == 'yolo11n-seg')
    with pytest.raises(BenchmarkError, match='make bench-speed'):
        export_missing(row, SIZE, tmp_path)


def test_a_wrong_call_of_the_exporter_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert export_student(['small', '64', '128']) == 2
    assert capsys.readouterr().err.startswith('Usage: students.py nano|small')
