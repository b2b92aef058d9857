# SPDX-License-Identifier: Apache-2.0
"""The model card beside an 8-bit student: what it was made from and calibrated on, what it loses and what it gains."""

from __future__ import annotations

from pathlib import Path

from cast_ros.files import write_text
from cast_ros.student import StudentContract
from cast_train.errors import ExportError
from cast_train.export.card import OWN_WORDS, kept_words
from cast_train.export.int8_judgement import LARGEST_FALL, Judgement
from cast_train.export.speed import Speed, cpu_in_words


def write_int8_card(
    model: Path, source: Path, contract: StudentContract, judgement: Judgement | None, speed: Speed
) -> Path:
    """Write ``MODEL.md``; text from ``OWN_WORDS`` on stays as it is.

    Args:
        model: the 8-bit file.
        source: the float file.
        contract: of the 8-bit file.
        judgement: None if nobody judged it.
        speed: 8-bit against float on this machine.

    Raises:
        ExportError: it cannot be written.
    """
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
    return card


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
