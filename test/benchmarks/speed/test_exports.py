# SPDX-License-Identifier: Apache-2.0
"""Exporting what is missing, once for each state of the sources."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from drawn_streets import draw_streets

from benchmarks.speed import exports, quantised
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.exports import export_missing, graph_digest
from benchmarks.speed.rows import ROWS, Row
from benchmarks.speed.students import main as export_student
from cast_ros.student import InputSpec, LoadOptions, Student

SIZE = (64, 128)


def test_a_student_is_exported_once_and_replaces_one_from_older_sources(tmp_path: Path) -> None:
    older = tmp_path / 'nano-64x128-00000000.onnx'
    another = tmp_path / 'nano-64x256-00000000.onnx'
    older.touch()
    another.touch()
    row = Row('nano', 'student', sizes=(SIZE,))
    path = export_missing(row, SIZE, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([path, another])
    with Student.load(path, LoadOptions(threads=1)) as student:
        assert (student.contract.input.height, student.contract.input.width) == SIZE
        assert student.contract.provenance == {'weights': 'random'}
    assert path.stem == f'nano-64x128-{graph_digest(row)}'
    written = path.stat().st_mtime_ns
    assert export_missing(row, SIZE, tmp_path) == path
    assert path.stat().st_mtime_ns == written


def test_an_int8_student_is_made_once_of_the_float_one(tmp_path: Path) -> None:
    row = Row('nano-int8', 'student', sizes=(SIZE,), architecture='nano', is_int8=True)
    path = export_missing(row, SIZE, tmp_path)
    source = export_missing(Row('nano', 'student', sizes=(SIZE,)), SIZE, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([path, source])
    assert path.name.startswith('nano-int8-64x128-')
    kinds = [{node.op_type for node in onnx.load(str(file)).graph.node} for file in (source, path)]
    assert ['QuantizeLinear' in found for found in kinds] == [False, True]
    with Student.load(path, LoadOptions(threads=1)) as student:
        assert student.contract.version == '0.0.0+int8'
        assert student.contract.provenance['precision'] == 'int8'
    written = [file.stat().st_mtime_ns for file in (source, path)]
    assert export_missing(row, SIZE, tmp_path) == path
    assert [file.stat().st_mtime_ns for file in (source, path)] == written


def test_without_the_streets_the_drive_of_this_repository_calibrates(tmp_path: Path) -> None:
    calibration = quantised.calibration_pictures(InputSpec(height=64, width=128), tmp_path / 'missing')
    assert calibration.source == 'the bag street_drive.mcap, /camera/image_raw/compressed'
    assert [picture.shape for picture in calibration.inputs] == [(1, 64, 128, 3)] * quantised.PICTURES


def test_with_the_streets_their_days_calibrate(tmp_path: Path) -> None:
    draw_streets(tmp_path, 'train', 'day', frames=3)
    calibration = quantised.calibration_pictures(InputSpec(height=64, width=128), tmp_path)
    assert calibration.source == 'streets train day'
    assert len(calibration.inputs) == 3


def test_a_wrong_call_of_the_quantiser_and_a_file_that_is_no_student_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantised.main(['one']) == 2
    assert capsys.readouterr().err == 'Usage: quantised.py FLOAT_FILE PATH\n'
    (tmp_path / 'x.onnx').write_bytes(b'no student')
    assert quantised.main([str(tmp_path / 'x.onnx'), str(tmp_path / 'y.onnx')]) == 2
    assert capsys.readouterr().err.startswith(f'Stopped: {tmp_path / "x.onnx"}')
    assert not (tmp_path / 'y.onnx').exists()


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


def test_the_digests_of_the_code_as_it_is_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    exports.main()
    found = dict(line.split() for line in capsys.readouterr().out.splitlines())
    students = [row for row in ROWS if row.family == 'student']
    assert found == {row.name: graph_digest(row) for row in students}
    assert len(set(found.values())) == 2  # of float and of int8
    assert found['small-int8'] == found['nano-int8'] != found['nano']
