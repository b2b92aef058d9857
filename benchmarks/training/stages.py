# SPDX-License-Identifier: Apache-2.0
"""How many pictures a second each stage of CAST and FAMDA learns from: the real stages, cut short, on the real data.

    python benchmarks/training/stages.py

Writes stages.json and stages.md beside this file. Takes the networks that all tables start from (benchmarks/accuracy)
and about ten minutes, most of them for the labels that the stages learn. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cast_train.methods.stages import LOG, Stages
from cast_train.methods.tables import method_of

HERE = Path(__file__).parent
RECIPES = HERE.parent.parent / 'config' / 'recipes'
CAST, FAMDA = RECIPES / 'streets-cast.yaml', RECIPES / 'streets-night.yaml'
STEPS, WARM_UP, EVERY = 32, 8, 8
SHORT = (
    'data.labels.fraction=0.02',
    'stages.teacher_supervised.steps=1',
    'stages.teacher_self_training.steps=1',
)


class Case(NamedTuple):
    """One row: a stage of a recipe, and the key of its number of steps."""

    name: str
    recipe: Path
    stage: str
    steps: str
    settings: tuple[str, ...] = ()


CASES = (
    Case('labels alone', CAST, 'student_supervised', 'stages.student_supervised.steps'),
    Case('distillation without contrast', CAST, 'distillation', 'stages.distillation.steps', ('stages.distillation.contrast=false',)),
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
        'machine': f'{platform.processor() or platform.machine()}, {os.cpu_count()} cores',
        'torch': torch.__version__,
        'warm_up_steps': WARM_UP,
        'rows': rows,
    }
    (HERE / 'stages.json').write_text(json.dumps(document, indent=1) + '\n')
    (HERE / 'stages.md').write_text(as_markdown(document))
    print(as_markdown(document))


