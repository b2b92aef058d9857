# SPDX-License-Identifier: Apache-2.0
"""How good the pseudo-labels of streets-night.yaml are, step by step: what voting does to thin things.

    python benchmarks/teachers/pseudo_labels.py --store runs/stages

Writes pseudo_labels.json and pseudo_labels.md beside this file. The student after `source` and the one after
`adapted` (seed 1 of benchmarks/accuracy/night_streets.yaml) label the night's training pictures, whole and without
augmentation; the true labels of these pictures, which no training sees, judge.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cast_ros.files import write_text
from cast_ros.offline.metrics.semantic import SemanticMetrics
from cast_train.data.augment import make_targets, make_view
from cast_train.engine.recipe_file import load
from cast_train.engine.trained import load_student, weights_in
from cast_train.export.revision import git_revision
from cast_train.methods.ablation import load_table
from cast_train.methods.famda.labels import TargetLabels
from cast_train.methods.famda.recipe import FamdaRecipe
from cast_train.methods.famda.stages import Domains, Famda
from cast_train.methods.stages import Stages

HERE = Path(__file__).parent
TABLE = HERE.parent / 'accuracy' / 'night_streets.yaml'
SHOWN = ('pole', 'traffic sign', 'sky')
# Each adds to what is in force before it.
KINDS = {
    'as the average says': {'refinement': None, 'sky_from_depth': False},
    'majority vote': {'refinement': {'protected': ()}, 'sky_from_depth': False},
    'but for poles and signs': {'sky_from_depth': False},
    'and sky from depth': {},
}


def main() -> None:
    """Judge every kind of pseudo-label of both students."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--store', type=Path, default=Path('runs/stages'), help='where the stages of the table are')
    store = parser.parse_args().store
    table = load_table(TABLE)
    recipe = load(FamdaRecipe, table.recipe, (*table.set, 'seed=1'))
    domains = Domains(recipe)
    rows = []
    for name, settings in KINDS.items():
        adaptation = recipe.adaptation.model_dump() | settings
        if settings.get('refinement'):
            adaptation['refinement'] = recipe.adaptation.model_dump()['refinement'] | settings['refinement']
        changed = recipe.model_copy(update={'adaptation': type(recipe.adaptation).model_validate(adaptation)})
        for stage in ('source', 'adapted'):
            teacher = weights_in(getattr(Famda(recipe, Stages(store, print), domains), stage)().folder)
            rows.append(
                {'name': name, 'teacher': stage, **judged(Famda(changed, Stages(store, print), domains), teacher)}
            )
    document = {
        'command': 'python benchmarks/teachers/pseudo_labels.py',
        'git': git_revision(),
        'data': f'streets, night train, {len(domains.target.train)} pictures',
        'rows': rows,
    }
    write_text(HERE / 'pseudo_labels.json', json.dumps(document, indent=1) + '\n')
    write_text(HERE / 'pseudo_labels.md', as_markdown(document))
    print(as_markdown(document))


@torch.no_grad()
def judged(famda: Famda, checkpoint: Path) -> dict[str, float | None]:
    """IoU of the class maps that a step learns from, before their classes are aligned and anything is pasted."""
    recipe, contract = famda.recipe, famda.contract
    teacher = load_student(checkpoint)[0].network.eval()
    cap_m = recipe.depth.cap_m
    labels = TargetLabels(teacher, recipe.adaptation, famda.protected, cap_m, famda.sky_id, None)
    scores = SemanticMetrics([entry.name for entry in contract.classes])
    given = famda.unlabelled_target(famda.segments(), famda.depth())
    size = recipe.stages.adaptation.height, recipe.stages.adaptation.width
    for true, sample in zip(famda.domains.target.train, given, strict=True):
        view, truth = (
            make_view(one, *size, recipe.depth.focal_reference_px, cap_m, None, [0]) for one in (sample, true)
        )
        target = make_targets(view, contract.thing_ids)
        (found,), _ = labels.of(teacher(view.image[None]), [target])
        assert found.semantic is not None
        assert truth.semantic is not None
        scores.update(found.semantic.numpy().astype(np.uint8), truth.semantic.numpy())
    result = scores.compute()
    return {'miou': result.miou, **{name: result.per_class[name] for name in SHOWN}}


def as_markdown(document: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        '# Pseudo-labels of the night, step by step',
        '',
        f'{document["data"]}; IoU in points, whole view by whole view. Made by `{document["command"]}` at revision '
        f'{document["git"]}; its first lines say what is measured.',
        '',
        '| labels | of the student after | mIoU | ' + ' | '.join(SHOWN) + ' |',
        '| --- | --- | ---: |' + ' ---: |' * len(SHOWN),
    ]
    for row in document['rows']:
        figures = ' | '.join(f'{100 * row[name]:.1f}' for name in ('miou', *SHOWN))
        lines.append(f'| {row["name"]} | {row["teacher"]} | {figures} |')
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    main()
