# SPDX-License-Identifier: Apache-2.0
"""Makes an 8-bit student of an exported one; nobody judges it, since with random weights there is nothing to lose.

python -m benchmarks.speed.quantised out/speed/models/small-512x1024.onnx out/speed/models/small-int8-512x1024.onnx
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.exports import ROOT
from cast_ros.errors import CastError
from cast_ros.student import InputSpec, Student
from cast_train.data import open_dataset
from cast_train.export.calibration_pictures import CalibrationPictures, pictures_of_path, pictures_of_samples
from cast_train.export.onnx import write_with_contract
from cast_train.export.quantisation import quantise

STREETS = ROOT.parent / 'shared' / 'data' / 'streets'
DRIVE, CAMERA = ROOT / 'assets' / 'street_drive.mcap', '/camera/image_raw/compressed'
# Ranges decide what a network answers and not how fast it is, so that few pictures do.
PICTURES = 8


def main(arguments: Sequence[str]) -> int:
    """Write one file: FLOAT_FILE PATH."""
    if len(arguments) != 2:
        print('Usage: quantised.py FLOAT_FILE PATH', file=sys.stderr)
        return 2
    source, path = map(Path, arguments)
    try:
        write_int8(source, path)
    except CastError as error:
        print(f'Stopped: {error}', file=sys.stderr)
        return error.exit_code
    return 0


def write_int8(source: Path, path: Path) -> None:
    """Quantise as ``cast-train export --int8`` does; the contract says that it was done, and with which pictures.

    Raises:
        CastError: the source is no student, a picture cannot be read, or the graph cannot be quantised.
    """
    with Student.load(source) as student:
        contract = student.contract
    calibration = calibration_pictures(contract.input, STREETS)
    provenance = {**contract.provenance, 'precision': 'int8', 'calibrated_on': calibration.source}
    changed = contract.model_copy(update={'version': f'{contract.version}+int8', 'provenance': provenance})
    write_with_contract(quantise(source, calibration.inputs), changed, path)


def calibration_pictures(spec: InputSpec, streets: Path) -> CalibrationPictures:
    """Pictures of the street benchmark by day; without it, of the drive that comes with this repository."""
    if not streets.is_dir():
        return pictures_of_path(DRIVE, CAMERA, PICTURES, spec)
    return pictures_of_samples(open_dataset('streets', streets, 'train', 'day'), 'streets train day', PICTURES, spec)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
