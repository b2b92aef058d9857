# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to one ONNX file that carries its contract."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch

from cast_ros.files import replacing
from cast_ros.student import CONTRACT_KEY, StudentContract
from cast_train.errors import ExportError
from cast_train.models import StudentNetwork
from cast_train.models.graph import StudentGraph

OPSET = 17  # onnxruntime 1.23, the last for Python 3.10, runs it


def export_onnx(student: StudentNetwork, contract: StudentContract, path: Path) -> None:
    """Write ``student`` to ``path`` with static shapes, standard operators and no external data, atomically.

    Raises:
        ExportError: an operator does not export, or the file cannot be written.
    """
    try:
        model = trace(student, contract)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise ExportError(f'{path}: the student does not export to opset {OPSET}: {error}') from error
    _state_shapes(model, contract)
    write_with_contract(model, contract, path)


def write_with_contract(model: onnx.ModelProto, contract: StudentContract, path: Path) -> None:
    """Write a graph to ``path`` with a contract, atomically.

    Raises:
        ExportError: the file cannot be written.
    """
    onnx.helper.set_model_props(model, {CONTRACT_KEY: contract.to_json()})
    onnx.checker.check_model(model)
    try:
        with replacing(path) as file:
            file.write(model.SerializeToString())
    except OSError as error:
        raise ExportError(f'{path}: cannot be written ({error})') from error


def trace(student: StudentNetwork, contract: StudentContract) -> onnx.ModelProto:
    """The graph of a student, batch norms folded into the convolutions before them; raises what torch raises."""
    graph = StudentGraph(student.to(memory_format=torch.contiguous_format), contract.thing_ids)
    picture = torch.zeros(1, contract.input.height, contract.input.width, 3, dtype=torch.uint8)
    buffer: Any = io.BytesIO()  # torch's annotation knows only paths, its code takes both
    with warnings.catch_warnings():
        # The tracer warns of every shape it turns into a constant; static shapes are what the contract promises.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            graph,
            (picture,),
            buffer,
            input_names=['image'],
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
    return onnx.load_from_string(buffer.getvalue())


def _state_shapes(model: onnx.ModelProto, contract: StudentContract) -> None:
    """Write the static shapes of the outputs into the graph; the tracer leaves some of them open."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    height, width = contract.input.height // 4, contract.input.width // 4
    known = {value.name: value.type for value in inferred.graph.output}
    count = known['scores'].tensor_type.shape.dim[1].dim_value if 'scores' in known else 0
    shapes = {
        'scores': (1, count),
        'labels': (1, count),
        'masks': (1, count, height, width),
        'semantic': (1, height, width),
        'depth': (1, height, width),
    }
    for output in model.graph.output:
        dimensions = output.type.tensor_type.shape.dim
        del dimensions[:]
        for size in shapes[output.name]:
            dimensions.add().dim_value = size
