# SPDX-License-Identifier: Apache-2.0
"""Multiply-accumulates and parameters of an ONNX graph, by one rule for every network.

Counted are convolutions, matrix products and Einsum, which is where nearly all the work is. Not counted are element-
wise operators, normalisation, pooling, interpolation and GridSample: of a network that samples (Mask2Former, RF-DETR) a
little more is left out than of the others.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto

from benchmarks.speed.errors import BenchmarkError
from cast_ros.student.providers import CPU

# What a network stores as weights; integers of 64 bits are shapes and indices.
WEIGHT_TYPES = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.UINT8}
)

# Weights have more numbers than this; scales of a Resize and the like, which decide shapes, have fewer.
LARGEST_SETTING = 64

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class NodeCost:
    """One counted operator: its name in the graph, its kind, and its multiply-accumulates."""

    name: str
    kind: str
    macs: int


@dataclass(frozen=True)
class GraphCost:
    """A whole graph: numbers it stores as weights, and its counted operators."""

    parameters: int
    nodes: tuple[NodeCost, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one picture."""
        return sum(node.macs for node in self.nodes)


def count_file(path: Path) -> GraphCost:
    """Count the graph in a file.

    Raises:
        BenchmarkError: onnxruntime cannot read it, or a shape is not known even after constants were folded.
    """
    model = onnx.load(str(path))
    try:
        return count(model)
    except BenchmarkError:
        # Exporters compute some shapes in the graph itself; onnxruntime folds those into constants.
        return GraphCost(count_parameters(model), count(_folded(path)).nodes)


def count(model: onnx.ModelProto) -> GraphCost:
    """Count a graph whose shapes can be inferred.

    Raises:
        BenchmarkError: a counted operator has an operand of unknown shape.
    """
    shapes = infer_shapes(model)
    costs = []
    for index, node in enumerate(model.graph.node):
        if node.op_type in RULES:
            try:
                macs = RULES[node.op_type](node, shapes)
            except KeyError as error:
                raise BenchmarkError(
                    f'the shape of {error.args[0]!r} at {node.op_type} {node.name!r} is not static; export the network '
                    'with a fixed input size'
                ) from error
            costs.append(NodeCost(node.name or f'{node.op_type}_{index}', node.op_type, macs))
    return GraphCost(count_parameters(model), tuple(costs))


def count_parameters(model: onnx.ModelProto) -> int:
    """Numbers that the graph stores as weights, scalars left out."""
    tensors = list(model.graph.initializer)
    tensors += [attribute.t for node in model.graph.node if node.op_type == 'Constant' for attribute in node.attribute]
    return sum(math.prod(one.dims) for one in tensors if one.data_type in WEIGHT_TYPES and len(one.dims) > 0)


def infer_shapes(model: onnx.ModelProto) -> Shapes:
    """Name of each tensor whose shape is known and static, to that shape."""
    graph = onnx.shape_inference.infer_shapes(_without_weights(model), data_prop=True).graph
    shapes: Shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField('shape') and all(size.HasField('dim_value') for size in kind.shape.dim):
            shapes[value.name] = tuple(size.dim_value for size in kind.shape.dim)
    for node in graph.node:
        if node.op_type == 'Constant' and node.attribute and node.attribute[0].name == 'value':
            shapes[node.output[0]] = tuple(node.attribute[0].t.dims)
    return shapes


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large tensors have a shape and no values: inference would copy hundreds of megabytes twice."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    tensors = list(light.graph.initializer)
    tensors += [attribute.t for node in light.graph.node for attribute in node.attribute if attribute.HasField('t')]
    for tensor in tensors:
        if tensor.data_type in WEIGHT_TYPES and math.prod(tensor.dims) > LARGEST_SETTING:
            for field in ('raw_data', 'float_data', 'int32_data'):
                tensor.ClearField(field)
    return light


def _folded(path: Path) -> onnx.ModelProto:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / 'folded.onnx')
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(str(path), options, providers=[CPU])
        except Exception as error:  # onnxruntime raises classes of its own, without a common public base
            raise BenchmarkError(f'{path}: onnxruntime cannot load it: {error}') from error
        return onnx.load(options.optimized_model_filepath)


def _convolution(node: NodeProto, shapes: Shapes) -> int:
    # The weight is outputs × inputs per group × kernel.
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _transposed_convolution(node: NodeProto, shapes: Shapes) -> int:
    # The weight is inputs × outputs per group × kernel, and every input value meets each of those.
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _matrix_product(node: NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    transposed = any(one.name == 'transA' and one.i for one in node.attribute)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _einsum(node: NodeProto, shapes: Shapes) -> int:
    equation = next(one.s.decode() for one in node.attribute if one.name == 'equation')
    operands = equation.replace(' ', '').partition('->')[0].split(',')
    sizes: dict[str, int] = {}
    for letters, name in zip(operands, node.input, strict=True):
        sizes.update(zip(letters, shapes[name], strict=True))
    return math.prod(sizes.values())


RULES: dict[str, Callable[[NodeProto, Shapes], int]] = {
    'Conv': _convolution,
    'ConvTranspose': _transposed_convolution,
    'MatMul': _matrix_product,
    'Gemm': _gemm,
    'Einsum': _einsum,
}
