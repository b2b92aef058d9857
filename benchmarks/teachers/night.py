# SPDX-License-Identifier: Apache-2.0
"""How good the teachers of streets-night.yaml are by themselves, by day and by night: they see in the dark no better.

    python benchmarks/teachers/night.py

Writes night.json and night.md beside this file. Depth is judged metric, up to the cap. Masks are judged without
classes: for every true segment (an instance, or all of a stuff class) of at least 100 pixels, the IoU of the mask that
fits it best; and by the best that a majority vote over them could do, the mIoU of the true class map after it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cast_ros.files import write_text
from cast_ros.offline.metrics.depth import DepthMetrics
from cast_ros.offline.metrics.semantic import SemanticMetrics
from cast_train.data import Sample, open_dataset
from cast_train.engine.recipe_file import load
from cast_train.export.revision import git_revision
from cast_train.methods.famda.labels import majority_vote
from cast_train.methods.famda.recipe import DomainSection, FamdaRecipe
from cast_train.teachers.registry import DEPTH_TEACHERS, SEGMENT_TEACHERS, open_teacher
from cast_train.teachers.teacher import Teacher

HERE = Path(__file__).parent
RECIPE = HERE.parent.parent / 'config' / 'recipes' / 'streets-night.yaml'
SMALLEST_PX = 100
LEAST_SHARE = 0.6


def main() -> None:
    """Measure both teachers on the validation pictures of both domains."""
    recipe = load(FamdaRecipe, RECIPE)
    assert recipe.segments is not None
    assert recipe.depth_teacher is not None
    rows = []
    for section in (recipe.source, recipe.target):
        dataset = _dataset(section)
        classes = dataset.classes
        depth = open_teacher(recipe.depth_teacher.kind, recipe.depth_teacher.settings, classes, DEPTH_TEACHERS)
        masks = open_teacher(recipe.segments.kind, recipe.segments.settings, classes, SEGMENT_TEACHERS)
        samples = [dataset[index] for index in range(len(dataset))]
        names = [entry.name for entry in classes]
        rows.append(
            {
                'name': section.name,
                'pictures': len(samples),
                **measure_depth(depth, samples, recipe.depth.cap_m),
                **measure_masks(masks, samples, names, [entry.id for entry in classes if not entry.is_thing]),
            }
        )
    document = {
        'command': 'python benchmarks/teachers/night.py',
        'git': git_revision(),
        'data': 'streets, val',
        'depth_teacher': recipe.depth_teacher.model_dump(mode='json'),
        'segments': recipe.segments.model_dump(mode='json'),
        'rows': rows,
    }
    write_text(HERE / 'night.json', json.dumps(document, indent=1) + '\n')
    write_text(HERE / 'night.md', as_markdown(document))
    print(as_markdown(document))


def _dataset(section: DomainSection) -> Any:
    part = section.validation[0]
    return open_dataset(section.dataset, section.root, part.split, part.domain)


def measure_depth(teacher: Teacher, samples: list[Sample], cap_m: float) -> dict[str, float | None]:
    """AbsRel and RMSE in metres."""
    metrics = DepthMetrics(cap_m)
    for sample in samples:
        (answer,) = teacher.label([sample.image], [sample.fx_px])
        assert answer.depth_m is not None
        assert sample.depth_m is not None
        metrics.update(answer.depth_m, sample.depth_m)
    scores = metrics.compute()
    return {'abs_rel': scores.abs_rel, 'rmse_m': scores.rmse}


def measure_masks(
    teacher: Teacher, samples: list[Sample], names: list[str], stuff: list[int]
) -> dict[str, float | None]:
    """Mean best IoU over true segments, the share of them above 0.5, and the mIoU that a vote could reach."""
    voted, best = SemanticMetrics(names), list[float]()
    for sample in samples:
        (answer,) = teacher.label([sample.image], [None])
        assert answer.segments is not None
        assert sample.semantic is not None
        height, width = sample.semantic.shape
        masks = torch.from_numpy(answer.segments.crop(0, 0, height, width))
        truth = torch.from_numpy(sample.semantic.astype(np.int64))
        voted.update(majority_vote(truth, masks, len(names), LEAST_SHARE).numpy().astype(np.uint8), sample.semantic)
        best += [_best_iou(segment, masks) for segment in true_segments(sample, stuff)]
    found = np.array(best)
    return {
        'mask_iou': float(found.mean()),
        'mask_recall': float((found >= 0.5).mean()),
        'vote_miou': voted.compute().miou,
    }


def true_segments(sample: Sample, stuff: list[int]) -> list[torch.Tensor]:
    """H×W bool masks of what is large enough."""
    assert sample.semantic is not None
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    masks = [sample.semantic == label for label in stuff]
    masks += [sample.instance_ids == row + 1 for row in range(len(sample.instance_labels))]
    return [torch.from_numpy(mask) for mask in masks if int(mask.sum()) >= SMALLEST_PX]


def _best_iou(segment: torch.Tensor, masks: torch.Tensor) -> float:
    if not len(masks):
        return 0.0
    shared = (masks & segment).sum((1, 2))
    return float((shared / (masks | segment).sum((1, 2))).max())


def as_markdown(document: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        '# The teachers of streets-night.yaml by themselves',
        '',
        f'{document["data"]}. Made by `{document["command"]}` at revision {document["git"]}; its first lines say what '
        'is measured.',
        '',
        '| | pictures | depth AbsRel | RMSE | best mask IoU | above 0.5 | mIoU after the vote, from the truth |',
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ]
    for row in document['rows']:
        lines.append(
            f'| {row["name"]} | {row["pictures"]} | {row["abs_rel"]:.3f} | {row["rmse_m"]:.2f} m '
            f'| {row["mask_iou"]:.3f} | {100 * row["mask_recall"]:.0f} % | {100 * row["vote_miou"]:.1f} |'
        )
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    main()
