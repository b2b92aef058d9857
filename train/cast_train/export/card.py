# SPDX-License-Identifier: Apache-2.0
"""The model card beside an exported student: measured figures are generated, what a person saw is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from cast_ros.files import write_text
from cast_ros.offline.evaluation.compare import Scores
from cast_ros.student import StudentContract
from cast_train.engine.recipe import Recipe
from cast_train.export.parity import Parity

OWN_WORDS = '## What works and what does not'
NOT_YET = 'Nobody has looked yet.\n'


def write_card(
    model: Path, run: Path, recipe: Recipe, contract: StudentContract, scores: Scores, parity: Parity
) -> Path:
    """Write ``MODEL.md``, the recipe and the run's log beside it; text from ``OWN_WORDS`` on stays as it is.

    Args:
        model: the exported file.
        run: the run folder that it came from.
        recipe: of the run.
        contract: of the exported file.
        scores: of the exported file on the recipe's validation part.
        parity: between the file and the network.
    """
    card = model.with_suffix('.md')
    document = yaml.safe_dump(recipe.model_dump(mode='json'), sort_keys=False)
    write_text(model.with_suffix('.recipe.yaml'), document)
    shutil.copyfile(run / 'log.jsonl', model.with_suffix('.log.jsonl'))
    sections = [
        f'# {contract.name} {contract.version}',
        _facts(model, contract, parity),
        f'## Measured on {contract.metrics["data"]} ({contract.metrics["pictures"]} pictures)',
        _headline(contract),
        _classes(scores),
        f'{OWN_WORDS}\n\n{kept_words(card)}',
    ]
    write_text(card, '\n\n'.join(sections))
    return card


def kept_words(card: Path) -> str:
    """What a person wrote into a card that is there already."""
    text = card.read_text(encoding='utf-8') if card.is_file() else ''
    return text.split(OWN_WORDS, 1)[1].lstrip('\n') if OWN_WORDS in text else NOT_YET


def _facts(model: Path, contract: StudentContract, parity: Parity) -> str:
    size = f'{contract.input.width}×{contract.input.height}, {contract.input.resize}'
    origin = ', '.join(f'{name} {value}' for name, value in contract.provenance.items())
    rows = [
        f'File `{model.name}` ({model.stat().st_size / 1e6:.1f} MB), licence {contract.license}, input {size}.',
        f'Made by: {origin}. The recipe is `{model.stem}.recipe.yaml`, the log `{model.stem}.log.jsonl`.',
        f'File against the network in float64: {parity.summary}.',
    ]
    return '\n'.join(rows)


def _headline(contract: StudentContract) -> str:
    figures = {name: value for name, value in contract.metrics.items() if isinstance(value, float)}
    names, values = ' | '.join(figures), ' | '.join(f'{value:.3f}' for value in figures.values())
    return f'| {names} |\n|{" --- |" * len(figures)}\n| {values} |'


def _classes(scores: Scores) -> str:
    """IoU and AP of every class as a Markdown table."""
    ious = {} if scores.semantic is None else scores.semantic.per_class
    precisions = {} if scores.instances is None else scores.instances.per_class
    lines = ['| class | IoU | AP | AP50 | instances |', '| --- | --- | --- | --- | --- |']
    for name in ious or precisions:
        found = precisions.get(name)
        cells = [ious.get(name), None if found is None else found.ap, None if found is None else found.ap50]
        shown = ' | '.join('–' if value is None else f'{value:.3f}' for value in cells)
        lines.append(f'| {name} | {shown} | {"" if found is None else found.true_count} |')
    return '\n'.join(lines)
