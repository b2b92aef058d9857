# SPDX-License-Identifier: Apache-2.0
"""The account of operators: parts of a graph, counts from the profiler's shapes, and a real profile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, TensorProto, helper
from tiny_student import tiny_student

from benchmarks.speed import operators
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.exports import graph_digest
from benchmarks.speed.graph_cost import count_file
from benchmarks.speed.operators import Kernel, Profile, as_document, as_markdown, macs_of, main, profiled
from benchmarks.speed.parts import PARTS, parts_of

ORIGIN = {
    'command': 'python -m x --row small',
    'git': '0123456789ab',
    'machine': 'A processor, 2 cores',
    'load_before': 0.1,
    'graph': '89abcdef',
}


@pytest.mark.parametrize(
    ('operator', 'inputs', 'outputs', 'macs'),
    [
        ('Conv', [(1, 3, 8, 8), (16, 3, 3, 3), (16,)], [(1, 16, 4, 4)], 16 * 16 * 27),
        ('Conv', [(1, 32, 8, 8), (32, 1, 5, 5)], [(1, 32, 8, 8)], 32 * 64 * 25),
        ('Gemm', [(10, 8), (9,)], [(10, 9)], 720),  # its weight was packed
        ('Gemm', [(10, 8), (8, 9), (9,)], [(10, 9)], 720),
        ('MatMul', [(2, 3, 10, 8), (2, 3, 8, 9)], [(2, 3, 10, 9)], 6 * 720),
        ('MatMul', [(2, 10, 8), (8, 9)], [(2, 10, 9)], 2 * 720),
        ('MatMul', [(1, 10, 8)], [(1, 10, 9)], 720),
        ('FusedMatMul', [(2, 8, 10), (2, 9, 8)], [(2, 10, 9)], 2 * 720),  # both transposed
        ('Softmax', [(1, 10, 8)], [(1, 10, 8)], 0),
    ],
)
def test_multiply_accumulates_from_the_shapes_of_a_kernel(
    operator: str, inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]], macs: int
) -> None:
    assert macs_of(operator, inputs, outputs) == macs


def student_graph() -> GraphProto:
    """One operator of each part, with names as the exporter and onnxruntime give them."""
    rows = [
        ('/Transpose', ['image'], 'picture'),
        ('/student/backbone/conv/Conv_nchwc', ['picture'], 'b'),
        ('ReorderOutput_token_7', ['b'], 'reordered'),
        ('/student/pyramid/Resize', ['reordered'], 'n'),
        ('/student/decoder/layers.0/MatMul', ['n'], 'q'),
        ('SkipLayerNormalization', ['weight', 'q'], 'normed'),
        ('/student/decoder/mask_features/Conv', ['n'], 'features'),
        ('/student/decoder/MatMul_4', ['normed', 'features'], 'logits'),
        ('/Sigmoid', ['logits'], 'probabilities'),
        ('/student/depth/Conv', ['n'], 'log_depth'),
        ('/Exp', ['log_depth'], 'depth'),
        ('/MatMul', ['probabilities'], 'scores_of_classes'),
        ('/ArgMax', ['scores_of_classes'], 'semantic'),
        ('/ReduceSum', ['probabilities'], 'quality'),
        ('/TopK', ['quality'], 'scores'),
        ('/Gather', ['logits', 'scores'], 'masks'),
    ]
    nodes = [helper.make_node('Identity', inputs[:1], [output], name=name) for name, inputs, output in rows]
    for node, (_, inputs, _) in zip(nodes, rows, strict=True):
        node.input[:] = inputs
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in ('scores', 'masks', 'semantic', 'depth')
    ]
    return helper.make_graph(
        nodes, 'student', [helper.make_tensor_value_info('image', TensorProto.UINT8, None)], outputs
    )


def test_every_operator_finds_its_part() -> None:
    parts = parts_of(student_graph(), fine={'/student/decoder/MatMul_4'})
    assert parts == {
        '/Transpose': 'input',
        '/student/backbone/conv/Conv_nchwc': 'backbone',
        'ReorderOutput_token_7': 'backbone',
        '/student/pyramid/Resize': 'neck',
        '/student/decoder/layers.0/MatMul': 'decoder',
        'SkipLayerNormalization': 'decoder',
        '/student/decoder/mask_features/Conv': 'masks',
        '/student/decoder/MatMul_4': 'masks',
        '/Sigmoid': 'masks',
        '/student/depth/Conv': 'depth',
        '/Exp': 'depth',
        '/MatMul': 'semantic',
        '/ArgMax': 'semantic',
        '/ReduceSum': 'instances',
        '/TopK': 'instances',
        '/Gather': 'instances',
    }
    assert set(parts.values()) == set(PARTS)


def test_a_real_profile_accounts_for_every_product(tmp_path: Path) -> None:
    def name_all(model: onnx.ModelProto) -> None:
        for index, node in enumerate(model.graph.node):
            node.name = f'/{node.op_type}_{index}'

    path = tiny_student(tmp_path / 'tiny.onnx', 64, 128, edit=name_all)
    profile = profiled(path, 1, 5)
    assert sum(kernel.ms for kernel in profile.kernels) > 0
    assert profile.run_ms > 0
    by_kind = {kernel.kind for kernel in profile.kernels}
    assert 'Conv 1×1' in by_kind
    counted = count_file(path).macs
    # onnxruntime may pad channels to multiples of eight or sixteen, never fewer than there are.
    assert counted <= sum(kernel.macs for kernel in profile.kernels) <= 16 * counted


def test_operators_without_names_are_no_account(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match='no names'):
        profiled(tiny_student(tmp_path / 'tiny.onnx', 64, 128), 1, 1)


def test_the_document_sums_by_part_and_by_kind() -> None:
    kernels = (
        Kernel('a', 'Conv 1×1', 'neck', 2.0, 4_000_000),
        Kernel('b', 'Conv 1×1', 'backbone', 5.0, 10_000_000),
        Kernel('c', 'Relu', 'neck', 1.0, 0),
    )
    document = as_document('small', Profile(10.0, kernels), gemm_gmacs=2.0, runs=3, origin=ORIGIN)
    assert document['between_operators_ms'] == 2.0
    assert document['floor_ms'] == 7.0
    assert document['parts'] == [
        {'name': 'backbone', 'operators': 1, 'ms': 5.0, 'gmacs': 0.01, 'floor_ms': 5.0},
        {'name': 'neck', 'operators': 2, 'ms': 3.0, 'gmacs': 0.004, 'floor_ms': 2.0},
    ]
    assert [(entry['name'], entry['ms']) for entry in document['kinds']] == [('Conv 1×1', 7.0), ('Relu', 1.0)]
    page = as_markdown(document)
    assert 'Made by `python -m x --row small` at revision 0123456789ab, graph 89abcdef;' in page
    assert '1.43 times its floor of 7.0 ms' in page
    assert '| neck | 2 | 3.00 | 30.0 % | 0.004 | 2.00 | 1.00 |' in page


def test_many_small_kinds_are_one_line_of_the_page_that_loses_nothing() -> None:
    kernels = [Kernel('big', 'Conv 1×1', 'neck', 9.9, 1_000)]
    kernels += [Kernel(f'k{index}', f'Kind{index}', 'neck', 0.01, 0) for index in range(10)]
    document = as_document('small', Profile(10.0, tuple(kernels)), 1.0, 1, ORIGIN)
    assert len(document['kinds']) == 11
    assert '| 10 others | 10 | 0.10 | 1.0 % |' in as_markdown(document)
    assert np.isclose(sum(entry['ms'] for entry in document['kinds']), 10.0)


def test_an_unknown_student_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--row', 'yolo11n-seg']) == 2
    assert 'students are nano, small' in capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'option'), [(['--row', 'nano'], '--row'), (['--runs', '3'], '--runs')])
def test_another_account_does_not_replace_the_committed_one(
    arguments: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (operators.HERE / 'operators.json').read_bytes()
    assert operators.main(arguments) == 2
    assert f'limited by {option}; name another folder with --out' in capsys.readouterr().err
    assert (operators.HERE / 'operators.json').read_bytes() == before


def test_the_account_names_the_command_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = (Kernel('a', 'Conv 1×1', 'neck', 2.0, 4_000_000),)
    monkeypatch.setattr(operators, 'export_missing', lambda *_: tmp_path / 'x.onnx')
    monkeypatch.setattr(operators, 'profiled', lambda *_: Profile(10.0, kernels))
    monkeypatch.setattr(operators, 'GEMM_CALLS', 1)
    arguments = ['--row', 'nano', '--out', str(tmp_path)]
    assert operators.main(arguments) == 0
    written = json.loads((tmp_path / 'operators.json').read_text())
    assert written['command'] == f'python -m benchmarks.speed.operators --row nano --out {tmp_path}'
    assert written['graph'] == graph_digest(operators.student_named('nano'))
