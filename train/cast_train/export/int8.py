# SPDX-License-Identifier: Apache-2.0
"""An exported student in eight bits: made, judged against the float file, and kept only if it loses little."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from cast_ros.files import write_text
from cast_ros.student import Student, StudentContract
from cast_ros.student.onnx_file import read_onnx_file
from cast_train.engine.evaluate import evaluate, headline
from cast_train.errors import ExportError
from cast_train.export.calibration_pictures import CalibrationPictures, Labelled
from cast_train.export.card import OWN_WORDS, kept_words
from cast_train.export.onnx import write_with_contract
from cast_train.export.quantisation import quantise
from cast_train.export.speed import Speed, compare_speed, cpu_in_words

# A file must lose less than this of AP (of mIoU without instances), as a fraction of 1.
LARGEST_FALL = 0.005


@dataclass(frozen=True)
class Judgement:
    """Figures of the float file and of the 8-bit file on the same pictures, as ``headline`` names them."""

    source: str
    pictures: int
    before: dict[str, float]
    after: dict[str, float]

    @property
    def figure(self) -> str:
        """The one that decides: ap; or miou for a student without instances, or one that finds none even in float.

        Raises:
            ExportError: neither says anything.
        """
        for name in ('ap', 'miou'):
            if self.before.get(name, 0.0) > 0 and name in self.after:
                return name
        raise ExportError(
            f'{self.source}: AP and mIoU of the float file are zero or were not measured, so nothing can be judged on '
            'it; name a split with labels that the student knows'
        )

    @property
    def fall(self) -> float:
        """How much of that figure is lost, fraction of 1."""
        return self.before[self.figure] - self.after[self.figure]

    @property
    def holds(self) -> bool:
        """Whether that is little enough."""
        return self.fall < LARGEST_FALL

    @property
    def rows(self) -> list[tuple[str, float, float]]:
        """Name, float and int8 of each figure that both have."""
        return [(name, value, self.after[name]) for name, value in self.before.items() if name in self.after]


def judge(before: Path, after: Path, labelled: Labelled) -> Judgement:
    """Measure two files on the same pictures."""
    figures = []
    for path in (before, after):
        with Student.load(path) as student:
            figures.append(headline(evaluate(student, labelled.samples)))
    return Judgement(labelled.source, len(labelled.samples), *figures)


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
    with Student.load(source) as student:
        contract = student.contract
    model = quantise(source, calibration.inputs)
    with tempfile.TemporaryDirectory() as folder:
        unjudged = Path(folder) / 'int8.onnx'
        write_with_contract(model, contract, unjudged)
        judgement = None if labelled is None else judge(source, unjudged, labelled)
        speed = compare_speed(source, unjudged)
    is_written = force or (judgement is not None and judgement.holds)
    if is_written:
        changed = _of_int8(contract, source, calibration, judgement)
        write_with_contract(model, changed, out)
        _write_card(out, source, changed, judgement, speed)
    return Int8Export(out, is_written, judgement, speed)


def _of_int8(
    contract: StudentContract, source: Path, calibration: CalibrationPictures, judgement: Judgement | None
) -> StudentContract:
    count = len(calibration.inputs)
    origin = {
        'precision': 'int8',
        'float_sha256': read_onnx_file(source).sha256,
        'calibrated_on': f'{count} {"picture" if count == 1 else "pictures"} of {calibration.source}',
    }
    # The figures of the float file are not those of this one.
    metrics = {} if judgement is None else {'data': judgement.source, 'pictures': judgement.pictures, **judgement.after}
    provenance = {**contract.provenance, **origin}
    return contract.model_copy(
        update={'version': f'{contract.version}+int8', 'provenance': provenance, 'metrics': metrics}
    )


def _write_card(
    model: Path, source: Path, contract: StudentContract, judgement: Judgement | None, speed: Speed
) -> None:
    """Write ``MODEL.md``; text from ``OWN_WORDS`` on stays as it is."""
    card = model.with_suffix('.md')
    sections = [
        f'# {contract.name} {contract.version}',
        _facts(model, source, contract),
        '## Against the float file',
        'Not judged: no labelled pictures were given.' if judgement is None else _judged(judgement),
        _speed(speed),
        f'{OWN_WORDS}\n\n{kept_words(card)}',
    ]
    try:
        write_text(card, '\n\n'.join(sections))
    except OSError as error:
        raise ExportError(f'{card}: cannot be written ({error})') from error


def _facts(model: Path, source: Path, contract: StudentContract) -> str:
    spec, origin = contract.input, contract.provenance
    return '\n'.join(
        [
            f'File `{model.name}` ({model.stat().st_size / 1e6:.1f} MB), licence {contract.license}, input '
            f'{spec.width}×{spec.height}, {spec.resize}.',
            f'**int8**: convolutions of backbone and pyramid in 8 bits (QDQ, activations U8, weights S8 per channel), '
            f'decoder and depth head in float. Made from `{source.name}` (sha256 {origin["float_sha256"]}).',
            f'Calibrated on {origin["calibrated_on"]}, without labels.',
        ]
    )


def _judged(judgement: Judgement) -> str:
    verdict = (
        f'{judgement.figure} changes by {-100 * judgement.fall:+.2f} points; a file that loses '
        f'{100 * LARGEST_FALL:.1f} is not written.'
    )
    if not judgement.holds:
        verdict += ' **It was written by force.**'
    rows = [f'| {name} | {before:.4f} | {after:.4f} |' for name, before, after in judgement.rows]
    return '\n'.join(
        [
            f'On {judgement.source} ({judgement.pictures} pictures): {verdict}',
            '',
            '| figure | float | int8 |',
            '| --- | ---: | ---: |',
            *rows,
        ]
    )


def _speed(speed: Speed) -> str:
    word = 'faster' if speed.ratio < 1 else '**slower**'
    return (
        f'One thread, CPU time of one picture, both in turn on {cpu_in_words()}: float {speed.before_ms:.1f} ms, int8 '
        f'{speed.after_ms:.1f} ms, ratio {speed.ratio:.2f} ({word}).'
    )
