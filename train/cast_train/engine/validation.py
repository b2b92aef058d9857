# SPDX-License-Identifier: Apache-2.0
"""Checking a recipe without training: everything that would stop a run hours later is found in seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cast_train.data import Batch, Dataset, Sample, Source, batches
from cast_train.engine.fitting import make_task, view_rules
from cast_train.engine.loop import check_parts
from cast_train.engine.recipe import DataSection, Phase, Recipe
from cast_train.engine.task import Task
from cast_train.engine.trained import millions
from cast_train.errors import DataError, TrainingError

# The memory of a step is measured with so few pictures and scaled up.
PROBE_PICTURES = 2
BYTES_PER_GB = 1e9
# Weights, gradients, two moments of AdamW and the average, in float32.
BYTES_PER_PARAMETER = 5 * 4


@dataclass(frozen=True)
class Finding:
    """One line of the summary: what was looked at, and what was found."""

    subject: str
    text: str


def check_recipe(recipe: Recipe) -> list[Finding]:
    """Check data, weights and sizes of a recipe, and run one step forward and back on its largest phase.

    Args:
        recipe: already checked for its keys.

    Raises:
        DataError: the tree or a picture is not as expected.
        TrainingError: weights are missing or do not fit, or the loss is not finite.
    """
    data, found = check_data(recipe.data)
    largest = max(recipe.phases, key=lambda phase: phase.batch * phase.height * phase.width)
    check_parts(recipe.plan, 1)
    contract = recipe.contract_for(data[0].classes)
    task = make_task(recipe, contract)
    student = task.network
    weights = recipe.student.initial or recipe.student.backbone_weights or 'none, it starts from random ones'
    batch = _probe_batch(recipe, largest, data[: len(recipe.data.train)], contract.thing_ids)
    terms, saved_bytes = _probe(task, batch)
    pictures = largest.batch / recipe.run.accumulate
    used = saved_bytes * pictures / len(batch.images) + 1e6 * millions(student) * BYTES_PER_PARAMETER
    return [
        *found,
        Finding('classes', f'{len(contract.classes)}, of which {len(contract.thing_ids)} can be counted'),
        Finding('student', f'{recipe.student.size}, {millions(student):.2f} M parameters; weights: {weights}'),
        Finding('schedule', _schedule(recipe)),
        Finding('loss', '  '.join(f'{name} {value:.3g}' for name, value in terms.items())),
        Finding(
            'memory',
            f'about {used / BYTES_PER_GB:.2f} GB per process: activations of '
            f'{pictures:g} pictures of {largest.height}×{largest.width}, weights, gradients, optimiser, average',
        ),
    ]


def check_data(data: DataSection) -> tuple[list[Dataset], list[Finding]]:
    """Open every part, read its first and its last picture, and see that all have the same classes.

    Raises:
        DataError: the tree or a picture is not as expected.
    """
    opened, found = [], []
    for role in ('train', 'validation'):
        for source in data.every_source:
            for part in source.train if role == 'train' else source.validation:
                dataset = source.open(part)
                opened.append(dataset)
                text = f'{len(dataset)} pictures, {describe(dataset[0])}'
                dataset[len(dataset) - 1]
                words = f'{role} {part.split} {part.domain}'.rstrip()
                found.append(Finding(f'{source.title}: {words}' if data.sources else words, text))
    names = [[entry.name for entry in dataset.classes] for dataset in opened]
    if any(other != names[0] for other in names):
        raise DataError(f'{data.root}: the parts of the recipe have different classes; they must agree')
    return opened, found


def check_files(files: Sequence[tuple[str, Path | None]]) -> list[Finding]:
    """See that files which a recipe names are there.

    Args:
        files: their keys in the recipe, and the files or folders; None is left out.

    Raises:
        TrainingError: one is missing.
    """
    named = [(key, path) for key, path in files if path is not None]
    for key, path in named:
        if not path.exists():
            raise TrainingError(f'{key} is {path}, which does not exist; make it first, or --set {key}=FILE')
    return [Finding(key, str(path)) for key, path in named]


def describe(sample: Sample) -> str:
    """Size of a picture and which labels it has."""
    labels = {
        'instances': sample.instance_ids,
        'semantic': sample.semantic,
        'unions': sample.union_ids,
        'depth': sample.depth_m,
        'fx': sample.fx_px,
    }
    present = [name for name, value in labels.items() if value is not None]
    height, width = sample.image.shape[:2]
    return f'{height}×{width}, with {", ".join(present) or "no labels"}'


def _probe_batch(recipe: Recipe, phase: Phase, datasets: Sequence[Dataset], thing_ids: tuple[int, ...]) -> Batch:
    count = min(PROBE_PICTURES, phase.batch)
    samples = [datasets[0][index % len(datasets[0])] for index in range(count)]
    rules = view_rules(phase, recipe.depth, recipe.augmentation, thing_ids)
    return next(batches([Source(samples, count)], rules, recipe.seed, 0, 1, 0))


def _probe(task: Task, batch: Batch) -> tuple[dict[str, float], int]:
    """The terms of one step, and the bytes that it keeps for its way back."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    task.train()
    keep: Callable[[Tensor], Tensor] = note
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        terms = task(batch, 0)
        total = torch.stack(list(terms.values())).sum()
    total.backward()
    weights = {parameter.untyped_storage().data_ptr() for parameter in task.parameters()}
    values = {name: value.item() for name, value in terms.items()}
    if not total.isfinite():
        raise TrainingError(f'the loss of the first batch is not finite ({values}); look at data and loss weights')
    return values, sum(size for place, size in sizes.items() if place not in weights)


def _schedule(recipe: Recipe) -> str:
    phases = ', '.join(f'{phase.steps} × {phase.batch} of {phase.height}×{phase.width}' for phase in recipe.phases)
    pictures = sum(phase.steps * phase.batch for phase in recipe.phases)
    return f'{recipe.total_steps} steps ({phases}), {pictures} views'
