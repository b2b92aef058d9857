# SPDX-License-Identifier: Apache-2.0
"""Exports the networks of other people, with random weights, to ONNX; runs in .venv-peers.

    python -m benchmarks.speed.peers.export yolo11n-seg 256 512 out/speed/models/yolo11n-seg-256x512.onnx

Weights are random: this is about speed, and the weights themselves cannot be had everywhere. torch's initialisation
keeps them free of denormal numbers and of NaN, either of which would change the speed.
"""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from benchmarks.speed.peers.registry import NETWORKS
from cast_ros.files import replacing

OPSET = 17


def main(arguments: Sequence[str]) -> int:
    """Write one file: NAME HEIGHT WIDTH PATH."""
    if len(arguments) != 4 or arguments[0] not in NETWORKS:
        print(f'Usage: export.py {"|".join(NETWORKS)} HEIGHT WIDTH PATH', file=sys.stderr)
        return 2
    name, height, width, path = arguments
    export(name, int(height), int(width), Path(path))
    return 0


def export(name: str, height: int, width: int, path: Path) -> None:
    """Build a network of the table, trace it at this size, and write one file with static shapes, atomically."""
    torch.manual_seed(0)
    # Imported when asked for: each brings a large library.
    module = importlib.import_module(f'benchmarks.speed.peers.{NETWORKS[name][0]}')
    network = getattr(module, NETWORKS[name][1])(height, width).eval()
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer warns of every shape it turns into a constant; sizes are fixed here.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, height, width),),
            buffer,
            input_names=['picture'],
            output_names=list(module.OUTPUTS),
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
    model = onnx.load_from_string(buffer.getvalue())
    to_single_precision(model)
    onnx.checker.check_model(model)
    with replacing(path) as file:
        file.write(model.SerializeToString())


def to_single_precision(model: onnx.ModelProto) -> None:
    """Turn what the tracer wrote in double precision into float, in place: the networks compute in float themselves.

    It does so where a ``linspace`` ends at a size of a map, and onnxruntime has no GridSample for a double grid.
    """
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        tensors += [attribute.t for attribute in node.attribute if attribute.HasField('t')]
        if node.op_type == 'Cast' and node.attribute[0].i == onnx.TensorProto.DOUBLE:
            node.attribute[0].i = onnx.TensorProto.FLOAT
    for tensor in tensors:
        if tensor.data_type == onnx.TensorProto.DOUBLE:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
