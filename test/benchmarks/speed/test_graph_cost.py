# SPDX-License-Identifier: Apache-2.0
"""The counter against figures worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.graph_cost import count, count_file

FLOAT = TensorProto.FLOAT


def model_of(
    nodes: Sequence[NodeProto], inputs: dict[str, list[int | str]], weights: dict[str, np.ndarray], output: str = 'y'
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        'counted',
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(output, FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_a_strided_convolution() -> None:
    node = helper.make_node('Conv', ['x', 'w', 'b'], ['y'], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    cost = count(model_of([node], {'x': [1, 3, 8, 12]}, {'w': zeros(5, 3, 3, 3), 'b': zeros(5)}))
    # 5 × 4 × 6 outputs, each of 3 × 3 × 3 products; 135 weights and 5 biases.
    assert cost.macs == 120 * 27
    assert cost.parameters == 140


def test_a_depthwise_convolution_sees_one_channel_each() -> None:
    node = helper.make_node('Conv', ['x', 'w'], ['y'], kernel_shape=[5, 5], pads=[2, 2, 2, 2], group=6)
    assert count(model_of([node], {'x': [1, 6, 4, 4]}, {'w': zeros(6, 1, 5, 5)})).macs == 6 * 16 * 25


def test_a_transposed_convolution_counts_from_its_input() -> None:
    node = helper.make_node('ConvTranspose', ['x', 'w'], ['y'], kernel_shape=[2, 2], strides=[2, 2])
    # 4 × 3 × 3 inputs, each multiplied into 7 × 2 × 2 outputs.
    assert count(model_of([node], {'x': [1, 4, 3, 3]}, {'w': zeros(4, 7, 2, 2)})).macs == 36 * 28


def test_matrix_products_of_activations_count_as_much_as_those_with_weights() -> None:
    both = helper.make_node('MatMul', ['x', 'z'], ['y'])
    assert count(model_of([both], {'x': [2, 6, 10, 8], 'z': [2, 6, 8, 9]}, {})).macs == 2 * 6 * 10 * 8 * 9
    weighted = helper.make_node('MatMul', ['x', 'w'], ['y'])
    assert count(model_of([weighted], {'x': [1, 10, 8]}, {'w': zeros(8, 9)})).macs == 10 * 8 * 9


@pytest.mark.parametrize(('transposed', 'shape'), [(0, [10, 8]), (1, [8, 10])])
def test_gemm_with_and_without_transposition(transposed: int, shape: list[int]) -> None:
    node = helper.make_node('Gemm', ['x', 'w', 'b'], ['y'], transA=transposed, transB=1)
    cost = count(model_of([node], {'x': list(shape)}, {'w': zeros(9, 8), 'b': zeros(9)}))
    assert cost.macs == 10 * 8 * 9


def test_einsum_is_the_product_of_its_indices() -> None:
    node = helper.make_node('Einsum', ['x', 'z'], ['y'], equation='bqc, bchw -> bqhw')
    assert count(model_of([node], {'x': [1, 5, 16], 'z': [1, 16, 3, 4]}, {})).macs == 5 * 16 * 3 * 4


def test_a_sum_over_operators_with_the_name_of_each() -> None:
    nodes = [
        helper.make_node('Conv', ['x', 'w'], ['c'], name='first', kernel_shape=[1, 1]),
        helper.make_node('Relu', ['c'], ['r']),
        helper.make_node('Conv', ['r', 'v'], ['y'], kernel_shape=[1, 1]),
    ]
    cost = count(model_of(nodes, {'x': [1, 2, 3, 3]}, {'w': zeros(4, 2, 1, 1), 'v': zeros(1, 4, 1, 1)}))
    assert [(node.name, node.macs) for node in cost.nodes] == [('first', 72), ('Conv_2', 36)]
    assert cost.macs == 108


def test_shapes_indices_and_scalars_are_no_parameters() -> None:
    nodes = [
        helper.make_node('Constant', [], ['half'], value=numpy_helper.from_array(np.array(0.5, np.float32))),
        helper.make_node('Constant', [], ['scale'], value=numpy_helper.from_array(zeros(4))),
        helper.make_node('Reshape', ['x', 'shape'], ['r']),
        helper.make_node('Mul', ['r', 'half'], ['m']),
        helper.make_node('Mul', ['m', 'scale'], ['y']),
    ]
    assert count(model_of(nodes, {'x': [2, 4]}, {'shape': np.array([2, 4])})).parameters == 4


def test_int8_weights_are_parameters_and_their_convolution_counts() -> None:
    nodes = [
        helper.make_node('DequantizeLinear', ['w', 's'], ['f']),
        helper.make_node('Conv', ['x', 'f'], ['y'], kernel_shape=[1, 1]),
    ]
    weights = {'w': np.zeros((4, 2, 1, 1), np.int8), 's': np.array(0.1, np.float32)}
    cost = count(model_of(nodes, {'x': [1, 2, 3, 3]}, weights))
    assert (cost.macs, cost.parameters) == (72, 8)


def test_an_unknown_shape_is_an_error_and_never_counts_as_nothing() -> None:
    node = helper.make_node('MatMul', ['x', 'w'], ['y'], name='open')
    with pytest.raises(BenchmarkError, match="'y' at MatMul 'open' is not static"):
        count(model_of([node], {'x': ['n', 8]}, {'w': zeros(8, 9)}))


def test_shapes_that_the_graph_computes_are_folded(tmp_path: Path) -> None:
    # The size is Shape(z) × 2 − 2, through a Cast to float that shape inference does not follow.
    nodes = [
        helper.make_node('Shape', ['z'], ['s']),
        helper.make_node('Cast', ['s'], ['f'], to=FLOAT),
        helper.make_node('Sqrt', ['f'], ['q']),
        helper.make_node('Cast', ['q'], ['n'], to=TensorProto.INT64),
        helper.make_node('Reshape', ['x', 'n'], ['r']),
        helper.make_node('MatMul', ['r', 'w'], ['y']),
    ]
    model = model_of(nodes, {'x': [10, 4], 'z': [25, 64]}, {'w': zeros(8, 9)})
    path = tmp_path / 'computed.onnx'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BenchmarkError):
        count(model)
    cost = count_file(path)
    assert (cost.macs, cost.parameters) == (5 * 8 * 9, 72)


def test_a_file_that_onnxruntime_cannot_load_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node('Nothing', ['x'], ['r'], domain='nobody'),
        helper.make_node('MatMul', ['r', 'w'], ['y']),
    ]
    model = model_of(nodes, {'x': [2, 8]}, {'w': zeros(8, 9)})
    model.opset_import.append(helper.make_opsetid('nobody', 1))
    path = tmp_path / 'strange.onnx'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BenchmarkError, match=r'strange\.onnx'):
        count_file(path)
