# SPDX-License-Identifier: Apache-2.0
"""The convolutions of an exported student in eight bits; everything that decides stays in float."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from cast_train.errors import ExportError

# Modules of the graph whose convolutions are quantised. With those of the decoder and of the depth head as well, AP
# falls by a whole point (benchmarks/runtime/int8.md).
QUANTISED_MODULES = ('/student/backbone/', '/student/pyramid/')
# A ReLU right behind a convolution disappears into the range of its output.
QUANTISED_OPERATORS = ('Conv', 'Relu')

Picture = npt.NDArray[np.uint8]


def quantise(source: Path, pictures: Sequence[Picture]) -> onnx.ModelProto:
    """Return an exported student with 8-bit convolutions in backbone and pyramid, its contract unchanged.

    Static, in QDQ form: activations uint8 with one range for each tensor, the least and the greatest value over the
    pictures; weights int8 with one scale for each output channel. Weights use 7 of their 8 bits: x86 without VNNI adds
    two products in 16 bits, which full weights overflow, so that the same file would answer differently there.

    Args:
        source: a file that ``cast-train export`` wrote.
        pictures: 1×H×W×3 uint8, at the size of the network's input; they set the ranges.

    Raises:
        ExportError: the graph has no such convolution, is quantised already, or onnxruntime cannot quantise it.
    """
    if not pictures:
        raise ExportError(f'{source}: ranges cannot be measured without a picture; name pictures to calibrate with')
    model = onnx.load(str(source))
    nodes = _nodes_to_quantise(source, model)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / 'quantised.onnx'
        try:
            quantize_static(
                _prepared(model),
                str(written),
                _Pictures(pictures),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED_OPERATORS),
                nodes_to_quantize=nodes,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except (RuntimeError, ValueError) as error:
            raise ExportError(f'{source}: onnxruntime cannot quantise it: {error}') from error
        quantised = onnx.load(str(written))
    # The quantiser adds a note of its own; the file promises what its source promised.
    del quantised.metadata_props[:]
    quantised.metadata_props.extend(model.metadata_props)
    return quantised


def _nodes_to_quantise(source: Path, model: onnx.ModelProto) -> list[str]:
    if any(node.op_type == 'QuantizeLinear' for node in model.graph.node):
        raise ExportError(f'{source}: is quantised already; name the float file that it was made from')
    nodes = [
        node.name
        for node in model.graph.node
        if node.op_type in QUANTISED_OPERATORS and node.name.startswith(QUANTISED_MODULES)
    ]
    if not nodes:
        raise ExportError(
            f'{source}: has no convolution below {" or ".join(QUANTISED_MODULES)}, so there is nothing to quantise; '
            'name a file of `cast-train export`'
        )
    return nodes


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that onnxruntime does not ask to be prepared: batch norms were folded and shapes fixed by the export.

    The tracer writes equal constants once and passes them on by Identity; a bias that comes from one would stay float,
    and its convolution with it.
    """
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    graph = prepared.graph
    constants = {one.name: one for one in graph.initializer}
    for node in [one for one in graph.node if one.op_type == 'Identity' and one.input[0] in constants]:
        copy = graph.initializer.add()
        copy.CopyFrom(constants[node.input[0]])
        copy.name = node.output[0]
        graph.node.remove(node)
    onnx.helper.set_model_props(prepared, {'onnx.quant.pre_process': 'onnxruntime.quant'})
    return prepared


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration one picture at a time."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._left: Iterator[Picture] = iter(pictures)

    def get_next(self) -> dict[str, Any] | None:
        picture = next(self._left, None)
        return None if picture is None else {'image': picture}
