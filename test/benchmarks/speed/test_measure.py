# SPDX-License-Identifier: Apache-2.0
"""Rounds, and one real measurement of tiny networks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_student import tiny_student

from benchmarks.speed import run
from benchmarks.speed.document import origin_of
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.graph_cost import count_file
from benchmarks.speed.measure import MOST_CALLS, CallTime, GemmPeak, calls_per_round, interleaved, summary
from benchmarks.speed.memory import peak_mb
from benchmarks.speed.networks import load
from benchmarks.speed.rows import SIZES, Row

SIZE = (64, 128)


class Clockwork:
    """Says that it took so long, and writes down that it was called."""

    def __init__(self, name: str, ms: float, journal: list[str]) -> None:
        self.name, self.ms, self.journal = name, ms, journal

    def call(self) -> CallTime:
        self.journal.append(self.name)
        return CallTime(self.ms, 1.0)


def test_every_network_gets_its_turn_in_every_round_in_changing_order() -> None:
    journal: list[str] = []
    networks = {name: Clockwork(name, ms, journal) for name, ms in (('slow', 900), ('middle', 40), ('fast', 1))}
    done: list[int] = []
    times = interleaved(networks, 6, after_round=done.append)
    assert done == [1, 2, 3, 4, 5, 6]
    assert {name: len(found) for name, found in times.items()} == {'slow': 6, 'middle': 18, 'fast': 6 * MOST_CALLS}
    assert times['slow'][0] == CallTime(900, 1.0)
    # One call of each to see how long it takes, then turns; that of a fast one begins with a call that does not count.
    turns = [name for index, name in enumerate(journal[3:]) if index == 0 or journal[3:][index - 1] != name]
    assert set(turns) == set(networks)
    assert len(journal) == 3 + 6 * (1 + 4 + MOST_CALLS + 1)
    first_of_rounds = {journal[3 + number * (6 + MOST_CALLS)] for number in range(6)}
    assert len(first_of_rounds) > 1


@pytest.mark.parametrize(('ms', 'calls'), [(0.0, MOST_CALLS), (1.0, MOST_CALLS), (50.0, 3), (149.0, 1), (3000.0, 1)])
def test_slow_networks_are_called_less_often(ms: float, calls: int) -> None:
    assert calls_per_round(ms) == calls


def test_the_figures_of_a_row() -> None:
    figures = summary(CallTime(float(ms), 1.0) for ms in range(1, 102))
    assert figures == {'p50_ms': 52.0, 'p95_ms': 97.0, 'network_p50_ms': 51.0, 'post_p50_ms': 1.0}


def test_the_matrix_product_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    gemm = GemmPeak(1, side=64)
    assert gemm.call().network_ms > 0
    assert gemm.gmacs_per_s([CallTime(2.0, 0.0)]) == pytest.approx(64**3 / 1e9 / 2e-3)


def tiny_yolo(path: Path) -> Path:
    """Answers the shapes of a YOLO that sees two anchors for each cell of 16 pixels."""
    anchors = 2 * (SIZE[0] // 16) * (SIZE[1] // 16)
    detections, prototypes = (1, 4 + 80 + 32, anchors * 8), (1, 32, SIZE[0] // 4, SIZE[1] // 4)
    nodes = [
        helper.make_node('Conv', ['picture', 'w'], ['prototypes'], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node('ReduceMean', ['picture'], ['mean'], axes=[1, 2, 3], keepdims=1),
        helper.make_node('Squeeze', ['mean', 'axis'], ['scalar']),
        helper.make_node('Mul', ['scalar', 'zeros'], ['detections']),
    ]
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        'tiny',
        [helper.make_tensor_value_info('picture', float32, [1, 3, *SIZE])],
        [
            helper.make_tensor_value_info('detections', float32, detections),
            helper.make_tensor_value_info('prototypes', float32, prototypes),
        ],
        [
            numpy_helper.from_array(np.zeros((32, 3, 4, 4), np.float32), 'w'),
            numpy_helper.from_array(np.zeros(detections, np.float32), 'zeros'),
            numpy_helper.from_array(np.array([3]), 'axis'),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def wide_student(path: Path) -> Path:
    """A tiny student with more rows than the scene has objects, so that all of them can be answered."""

    def widen(model: onnx.ModelProto) -> None:
        replaced = {'two': np.array([24]), 'thing_ids': np.array([2, 3] * 12)}
        for one in model.graph.initializer:
            if one.name in replaced:
                one.CopyFrom(numpy_helper.from_array(replaced[one.name], one.name))
            if one.name in ('purity_kernel', 'purity_bias'):
                value = numpy_helper.to_array(one)
                one.CopyFrom(numpy_helper.from_array(np.concatenate([value] * 12), one.name))
        for value in model.graph.output:
            if value.name in ('scores', 'labels', 'masks'):
                value.type.tensor_type.shape.dim[1].dim_value = 24

    return tiny_student(path, *SIZE, edit=widen)


def test_a_real_run_of_a_student_and_a_peer(tmp_path: Path) -> None:
    rows = [
        Row('small', 'student', sizes=(SIZE,), file=wide_student(tmp_path / 'student.onnx')),
        Row('yolo11n-seg', 'yolo', sizes=(SIZE,), file=tiny_yolo(tmp_path / 'yolo.onnx')),
    ]
    entries = run.prepare(rows, (SIZE,), tmp_path)
    # 16 × 32 cells: 24 + 4 + 1 outputs of 3 channels; 32 prototypes of 4 × 4 × 3 products.
    assert [entry.cost.macs for entry in entries] == [16 * 32 * 29 * 3, 16 * 32 * 32 * 48]
    document = run.measure(entries, rounds=2, origin=origin_of('make bench-speed'))
    run.write(document, tmp_path / 'results')
    written = json.loads((tmp_path / 'results' / 'results.json').read_text())
    assert [row['name'] for row in written['rows']] == ['small', 'yolo11n-seg']
    for row in written['rows']:
        assert row['size'] == list(SIZE)
        assert 0 < row['network_p50_ms'] < row['p50_ms'] <= row['p95_ms']
        assert row['post_p50_ms'] > 0
        assert row['peak_mb'] > 0
    assert written['rows'][0]['ratio_to_small'] == 1.0
    assert (written['threads'], written['rounds'], written['onnxruntime']) == (2, 2, onnxruntime.__version__)
    assert written['gemm_gmacs'] > 0
    assert 'cores' in written['machine']
    digest = hashlib.sha256(b'student.onnx\0' + (tmp_path / 'student.onnx').read_bytes() + b'\0').hexdigest()[:8]
    assert [network.get('graph') for network in written['networks']] == [digest, None]
    assert '| yolo11n-seg |' in (tmp_path / 'results' / 'results.md').read_text()
    assert (tmp_path / 'results' / 'results.svg').read_text().startswith('<svg')


def test_the_student_is_timed_while_it_paints_the_whole_scene(tmp_path: Path) -> None:
    path = wide_student(tmp_path / 'student.onnx')
    network = load(Row('small', 'student', sizes=(SIZE,)), SIZE, path, 1)
    student = network._student  # type: ignore[attr-defined]
    prediction = student.predict(np.zeros((*SIZE, 3), np.uint8), score_threshold=0.5)
    assert len(prediction.scores) > 15  # some of the twenty hide behind others
    assert np.isfinite(prediction.depth).all()


def test_memory_is_that_of_the_network_alone(tmp_path: Path) -> None:
    small, large = tmp_path / 'small.onnx', tmp_path / 'large.onnx'
    for path, side in ((small, 64), (large, 2048)):
        weight = numpy_helper.from_array(np.random.default_rng(0).random((side, side), dtype=np.float32), 'w')
        graph = helper.make_graph(
            [helper.make_node('MatMul', ['x', 'w'], ['y'])],
            'product',
            [helper.make_tensor_value_info('x', TensorProto.FLOAT, [4, side])],
            [helper.make_tensor_value_info('y', TensorProto.FLOAT, [4, side])],
            [weight],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
        path.write_bytes(model.SerializeToString())
    assert 0 < peak_mb(small, 1) < 16.7 < peak_mb(large, 1)  # 16.8 MB of weights
    assert count_file(large).parameters == 2048**2


def test_a_network_that_cannot_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'broken.onnx'
    path.write_bytes(b'not a network')
    with pytest.raises(BenchmarkError, match=r'broken\.onnx'):
        peak_mb(path, 1)


def test_students_from_files_become_rows(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'x.onnx', *SIZE)
    row = run.student_row(f'mine={path}')
    assert (row.name, row.family, row.sizes, row.file) == ('mine', 'student', (SIZE,), path)
    assert row.note == 'ours, from x.onnx'


def test_the_note_of_an_int8_student_from_a_file_says_so(tmp_path: Path) -> None:
    path = tiny_student(tmp_path / 'x.onnx', *SIZE, contract={'provenance': {'precision': 'int8'}})
    assert run.student_row(f'mine={path}').note == 'ours, from x.onnx in int8'


@pytest.mark.parametrize('text', ['mine', '=x.onnx', 'mine=missing.onnx'])
def test_a_student_without_a_file_is_refused(text: str) -> None:
    with pytest.raises(BenchmarkError, match='NAME=FILE'):
        run.student_row(text)


def test_a_student_that_would_take_another_s_place_or_has_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_student(tmp_path / 'x.onnx', *SIZE)
    for arguments, reason in (
        ([f'small={path}'], 'there are two rows small;'),
        ([f'pair={path}'], 'there are two rows pair;'),
        ([f'a={path}', f'a={path}'], 'there are two rows a;'),
        ([f'a={path}'], 'takes 64x128, which is not measured; sizes are 256x512, 384x640, 512x1024'),
    ):
        assert run.main(['--student', *arguments, '--models', str(tmp_path), '--out', str(tmp_path)]) == 2
        assert reason in capsys.readouterr().err
    path.write_bytes(b'not a student')
    assert run.main(['--student', f'a={path}']) == 2
    assert 'x.onnx' in capsys.readouterr().err


def test_unknown_rows_and_sizes_are_refused_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(['--rows', 'smal']) == 2
    assert 'there is no row smal; rows are nano, small' in capsys.readouterr().err
    assert run.main(['--sizes', '3x5']) == 2
    assert f'sizes are {SIZES[0][0]}x{SIZES[0][1]}' in capsys.readouterr().err
