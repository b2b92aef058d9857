# SPDX-License-Identifier: Apache-2.0
"""An exported student in eight bits: made, judged against the float file, and kept only if it loses little."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx

from cast_ros.student import Student as RuntimeStudent
from cast_ros.student import StudentContract
from cast_ros.student.onnx_file import read_onnx_file
from cast_train.errors import ExportError
from cast_train.export.calibration_pictures import CalibrationPictures
from cast_train.export.int8_card import write_int8_card
from cast_train.export.int8_judgement import LARGEST_FALL, Judgement, Labelled, judge
from cast_train.export.onnx import write_with_contract
from cast_train.export.quantisation import quantise
from cast_train.export.speed import Speed, compare_speed, cpu_in_words


@dataclass(frozen=True)
class Int8Export:
    """What came out.

    Attributes:
        model: the 8-bit file.
        is_written: false when it lost too much, so that nothing was written.
        judgement: None without labelled pictures.
        speed: 8-bit against float on this machine.
    """

    model: Path
    is_written: bool
    judgement: Judgement | None
    speed: Speed

    @property
    def summary(self) -> str:
        """Lines for people."""
        lines = []
        judgement, speed = self.judgement, self.speed
        if judgement is not None:
            pairs = (f'{name} {before:.4f} -> {after:.4f}' for name, before, after in judgement.rows)
            lines.append(f'{judgement.source}, {judgement.pictures} pictures, float -> int8: {"  ".join(pairs)}')
        lines.append(
            f'one thread: {speed.before_ms:.1f} -> {speed.after_ms:.1f} ms of CPU time, {speed.ratio:.2f} of the time '
            f'of float, on {cpu_in_words()}'
        )
        if speed.ratio >= 1:
            lines.append('int8 is NOT faster on this machine: use the float file here, and measure on the robot')
        if self.is_written:
            lines.append(f'{self.model} ({self.model.stat().st_size / 1e6:.1f} MB) is written, with its card')
        elif judgement is not None:
            lines.append(
                f'{self.model} is NOT written: {judgement.figure} falls by {100 * judgement.fall:.2f} points, the '
                f'limit is {100 * LARGEST_FALL:.1f}; calibrate with more pictures of what the robot sees, or keep '
                'float (--force writes it all the same)'
            )
        return '\n'.join(lines)


def int8_beside(source: Path) -> Path:
    """Where the 8-bit file of a float file is written unless something else was asked for."""
    return source.with_name(f'{source.stem}-int8.onnx')


def export_int8(
    source: Path, out: Path, calibration: CalibrationPictures, labelled: Labelled | None, force: bool = False
) -> Int8Export:
    """Quantise an exported student and write it with its card, if it loses less than ``LARGEST_FALL``.

    Args:
        source: the float file; it stays as it is.
        out: the 8-bit file.
        calibration: pictures that set the ranges.
        labelled: pictures that judge both files; None needs ``force``.
        force: write the file whatever it loses; its card says so.

    Raises:
        StudentError: the source is no student.
        ExportError: it cannot be quantised or judged, or the file cannot be written.
    """
    if labelled is None and not force:
        raise ExportError(
            f'{source}: without labelled pictures nobody knows what int8 costs; name a split (--validate val), or '
            'write it unjudged with --force'
        )
    if source.resolve() == out.resolve():
        raise ExportError(f'{out}: is the float file; name another for int8')
    with RuntimeStudent.load(source) as student:
        contract = student.contract
    model = quantise(source, calibration.inputs)
    with tempfile.TemporaryDirectory() as folder:
        unjudged = Path(folder) / 'int8.onnx'
        write_with_contract(model, contract, unjudged)
        judgement = None if labelled is None else judge(source, unjudged, labelled)
        speed = compare_speed(source, unjudged)
    holds = judgement is not None and judgement.holds
    is_written = holds or force
    if is_written:
        _write(model, source, out, contract, calibration, judgement, speed)
    return Int8Export(out, is_written, judgement, speed)


def _write(
    model: onnx.ModelProto,
    source: Path,
    out: Path,
    contract: StudentContract,
    calibration: CalibrationPictures,
    judgement: Judgement | None,
    speed: Speed,
) -> None:
    origin = {
        'precision': 'int8',
        'float_sha256': read_onnx_file(source).sha256,
        'calibrated_on': f'{_count(len(calibration.inputs))} of {calibration.source}',
    }
    # The figures of the float file are not those of this one.
    metrics = {} if judgement is None else {'data': judgement.source, 'pictures': judgement.pictures, **judgement.after}
    changed = contract.model_copy(
        update={
            'version': f'{contract.version}+int8',
            'provenance': {**contract.provenance, **origin},
            'metrics': metrics,
        }
    )
    write_with_contract(model, changed, out)
    write_int8_card(out, source, changed, judgement, speed)


def _count(pictures: int) -> str:
    return '1 picture' if pictures == 1 else f'{pictures} pictures'
