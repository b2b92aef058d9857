# SPDX-License-Identifier: Apache-2.0
"""Exports our own students, with random weights, through our own exporter and with a contract.

python -m benchmarks.speed.students small 512 1024 out/speed/models/small-512x1024.onnx
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from cast_ros.student import DepthSpec, InputSpec, StudentContract
from cast_train.data.cityscapes import CLASSES
from cast_train.export.onnx import export_onnx
from cast_train.models import SIZES, StudentNetwork
from cast_train.models.graph import outputs_of

THING_IDS = tuple(entry.id for entry in CLASSES if entry.is_thing)


def main(arguments: Sequence[str]) -> int:
    """Write one file: SIZE HEIGHT WIDTH PATH."""
    if len(arguments) != 4 or arguments[0] not in SIZES:
        print(f'Usage: students.py {"|".join(SIZES)} HEIGHT WIDTH PATH', file=sys.stderr)
        return 2
    size, height, width, path = arguments
    torch.manual_seed(0)
    student = StudentNetwork(size, len(CLASSES), THING_IDS).eval()
    export_onnx(student, contract_of(size, int(height), int(width)), Path(path))
    return 0


def contract_of(size: str, height: int, width: int) -> StudentContract:
    """What such a student promises, with the classes of Cityscapes."""
    return StudentContract(
        name=f'{size}-untrained',
        version='0.0.0',
        license='Apache-2.0',
        input=InputSpec(height=height, width=width),
        classes=CLASSES,
        outputs=outputs_of(SIZES[size].has_queries),
        depth=DepthSpec(cap_m=80.0, focal_reference_px=float(width)),
        provenance={'weights': 'random'},
    )


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
