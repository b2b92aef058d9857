# SPDX-License-Identifier: Apache-2.0
"""How many pictures a second each stage of CAST and FAMDA learns from: the real stages, cut short, on the real data.

    python benchmarks/training/stages.py

Writes stages.json and stages.md beside this file. Takes the networks that all tables start from (benchmarks/accuracy)
and about ten minutes, most of them for the labels that the stages learn. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from speed import write_results

from cast_train.engine.trained import LOG
from cast_train.export.speed import machine_in_words
from cast_train.methods.registry import staged
from cast_train.methods.stages import Stages

RECIPES = Path(__file__).parent.parent.parent / 'config' / 'recipes'
CAST, FAMDA = RECIPES / 'streets-cast.yaml', RECIPES / 'streets-night.yaml'
STEPS, WARM_UP = 32, 8
# The stages before it are made, and need not be good.
FEW = ('teacher.adapt=false',)


class Case(NamedTuple):
    """One row: a stage of a recipe, and the key of its number of steps."""

    name: str
    recipe: Path
    stage: str
    steps: str
    settings: tuple[str, ...] = ()


CASES = (
    Case('labels alone', CAST, 'student_supervised', 'stages.student_supervised.steps'),
    Case(
        'distillation without contrast',
        CAST,
        'distillation',
        'stages.distillation.steps',
        ('stages.distillation.contrast=false',),
    ),
    Case('distillation with contrast', CAST, 'distillation', 'stages.distillation.steps'),
    Case('adaptation from day to night', FAMDA, 'adapted', 'stages.adaptation.steps', ('stages.source.steps=1',)),
)


def main() -> None:
    """Run every case in one store, so that they share their labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=Path, default=Path('../shared/data/streets'), help='the street benchmark')
    root = parser.parse_args().root
    with tempfile.TemporaryDirectory() as store:
        rows = [measure(case, root, Path(store)) for case in CASES]
    document = {
        'command': 'python benchmarks/training/stages.py',
        'machine': machine_in_words(),
        'torch': torch.__version__,
        'warm_up_steps': WARM_UP,
        'rows': rows,
    }
    write_results('stages', document, as_markdown(document))


def measure(case: Case, root: Path, store: Path) -> dict[str, Any]:
    """Run the case's stage for a few steps, after whatever stages it needs, and read its log."""
    roots = (f'source.root={root}', f'target.root={root}') if case.recipe == FAMDA else (f'data.root={root}', *FEW)
    run = f'run={{log_every: {WARM_UP}, checkpoint_every: {STEPS}, workers: 1, threads: 1}}'
    method, recipe = staged(case.recipe, (*roots, run, f'{case.steps}={STEPS}', *case.settings))
    stage = method.stages[case.stage](method.make(recipe, Stages(store, print), method.read(recipe)))
    records = [json.loads(line) for line in (stage.folder / LOG).read_text().splitlines()]
    steady = [record for record in records if 'seconds' in record and record['step'] > WARM_UP]
    seconds = sum(record['seconds'] for record in steady)
    waited = sum(record['seconds'] * record['loading_share'] for record in steady)
    pictures = sum(record['seconds'] * record['pictures_per_s'] for record in steady)
    return {
        'name': case.name,
        'pictures_per_s': round(pictures / seconds, 2),
        'loading_share': round(waited / seconds, 4),
    }


def as_markdown(document: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        '# Speed of the stages',
        '',
        f'nano, views of 128×256, 16 pictures a step, one thread and one process that prepares batches; '
        f'{document["machine"]}, torch {document["torch"]}. Made by `{document["command"]}`.',
        '',
        '| stage | pictures/s | waiting for data |',
        '| --- | ---: | ---: |',
    ]
    for row in document['rows']:
        lines.append(f'| {row["name"]} | {row["pictures_per_s"]:.1f} | {100 * row["loading_share"]:.1f} % |')
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    main()
