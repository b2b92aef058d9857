# SPDX-License-Identifier: Apache-2.0
"""Supervised training from a recipe: data, network and task, handed to the loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cast_ros.files import write_text
from cast_ros.student import ClassInfo, StudentContract
from cast_train.data import (
    Augmentation,
    Batch,
    Sample,
    Source,
    ViewRules,
    batches,
    common_classes,
    joined,
    mixed_chances,
    read_samples,
)
from cast_train.engine.checkpoint import load_checkpoint
from cast_train.engine.evaluate import evaluate, headline
from cast_train.engine.loop import train
from cast_train.engine.recipe import DataSection, DepthSection, Part, Phase, Recipe, StudentSection
from cast_train.engine.task import SupervisedTask
from cast_train.errors import TrainingError
from cast_train.models import StudentNetwork
from cast_train.models.graph import TorchStudent

# One row for each source of a mixture, as of the last judgement; in the run folder.
TABLE = 'validation.md'


def fit(recipe: Recipe, run: Path, resume: bool) -> dict[str, float]:
    """Train a student from a recipe; the run folder ends up with ``last.pt``, ``log.jsonl`` and TensorBoard events.

    With several sources there is ``validation.md`` as well, and the metrics of each are called ``TITLE/METRIC``.

    Args:
        recipe: what to do.
        run: output folder.
        resume: go on from ``last.pt`` there; otherwise the folder must not hold one.

    Returns:
        The headline metrics of the averaged weights on the validation part.

    Raises:
        TrainingError: the folder holds another run, or training diverged.
        DataError: the data set is not as expected.
    """
    source, classes = read_training(recipe.data)
    validation = read_validation(recipe.data)
    contract = recipe.contract_for(common_classes([classes, *(judged.classes for judged in validation)]))

    def stream(first: int) -> Iterator[Batch]:
        return supervised_stream(recipe, source.samples, contract, first, source.chances)

    def judge(student: StudentNetwork) -> dict[str, float]:
        trained = TorchStudent(student, contract)
        found = {part.title: headline(evaluate(trained, part.samples)) for part in validation}
        if not recipe.data.sources:
            return found[validation[0].title]
        write_text(run / TABLE, source_table(found))
        return {f'{title}/{name}': value for title, metrics in found.items() for name, value in metrics.items()}

    return train(
        make_task(recipe, contract),
        recipe.plan,
        stream,
        run,
        judge,
        resume,
        recipe.model_dump(mode='json'),
        note=f'{len(source.samples)} training and {sum(len(part.samples) for part in validation)} validation pictures',
    )


@dataclass(frozen=True)
class Judged:
    """The validation pictures of one source.

    Attributes:
        title: of the source.
        samples: with the classes that are learned.
        classes: those.
    """

    title: str
    samples: Sequence[Sample]
    classes: tuple[ClassInfo, ...]


def read_training(data: DataSection) -> tuple[Source, tuple[ClassInfo, ...]]:
    """Read the training pictures of every source, with the chance of each, and their classes; ``count`` is 0.

    Raises:
        DataError: a tree is not as its loader expects, or two sources have different classes.
    """
    samples: Sequence[Sample] = ()
    counts: list[int] = []
    weights: list[float] = []
    classes: list[tuple[ClassInfo, ...]] = []
    for source in data.every_source:
        if source.train:
            opened = [source.open(part) for part in source.train]
            more = read_samples(opened, data.in_memory)[: data.limit]
            samples = joined(samples, more) if counts else more
            counts.append(len(more))
            weights.append(source.weight)
            classes += [dataset.classes for dataset in opened]
    return Source(samples, 0, mixed_chances(counts, weights) if data.sources else None), common_classes(classes)


def read_validation(data: DataSection) -> list[Judged]:
    """Read the validation pictures of every source that has any.

    Raises:
        DataError: a tree is not as its loader expects, or two sources have different classes.
    """
    found = []
    for source in data.every_source:
        if source.validation:
            opened = [source.open(part) for part in source.validation]
            classes = common_classes([dataset.classes for dataset in opened])
            samples = read_samples(opened, data.in_memory)[: data.limit]
            found.append(Judged(str(source.title), samples, classes))
    return found


def source_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """One Markdown row for each source, one column for each metric that any has."""
    columns = list(dict.fromkeys(name for metrics in found.values() for name in metrics))
    rows = [['source', *columns], ['---'] * (len(columns) + 1)]
    for title, metrics in found.items():
        rows.append([title, *(f'{metrics[name]:.4f}' if name in metrics else '' for name in columns)])
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def make_task(recipe: Recipe, contract: StudentContract) -> SupervisedTask:
    """The network of a recipe with its first weights, ready for supervised training.

    Raises:
        TrainingError: weights that the recipe names are missing or of another network.
    """
    torch.manual_seed(recipe.seed)
    return SupervisedTask(start_student(recipe.student, contract, recipe.seed), recipe.losses)


def start_student(student: StudentSection, contract: StudentContract, seed: int) -> StudentNetwork:
    """A network with the first weights that a recipe and its seed give.

    Raises:
        TrainingError: weights that the recipe names are missing or of another network.
    """
    torch.manual_seed(seed)
    network = StudentNetwork(student.architecture, len(contract.classes), contract.thing_ids, student.backbone_weights)
    if student.initial is not None:
        take_over(network, student.initial)
    return network


def read_parts(recipe: Recipe, parts: tuple[Part, ...]) -> tuple[Sequence[Sample], tuple[Any, ...]]:
    """Read the pictures of some parts of the recipe's data set, and its classes."""
    opened = [recipe.data.open(part) for part in parts]
    samples = read_samples(opened, recipe.data.in_memory)
    return samples[: recipe.data.limit], common_classes([dataset.classes for dataset in opened])


def supervised_stream(
    recipe: Recipe,
    samples: Sequence[Sample],
    contract: StudentContract,
    first: int,
    chances: npt.NDArray[np.float64] | None = None,
) -> Iterator[Batch]:
    """Yield the batches of every phase from step ``first`` on; ``chances`` as in ``Source``."""
    start = 0
    for phase in recipe.phases:
        end = start + phase.steps
        if first < end:
            rules = view_rules(phase, recipe.depth, recipe.augmentation, contract.thing_ids)
            sources = [Source(samples, phase.batch, chances)]
            yield from batches(sources, rules, recipe.seed, max(first, start), end, recipe.run.workers)
        start = end


def view_rules(
    phase: Phase, depth: DepthSection, augmentation: Augmentation | None, thing_ids: tuple[int, ...]
) -> ViewRules:
    """The views of one phase."""
    return ViewRules(phase.height, phase.width, depth.focal_reference_px, depth.cap_m, thing_ids, augmentation)


def take_over(network: StudentNetwork, path: Path) -> int:
    """Load the averaged weights of an earlier run where name and shape agree, and return how many tensors did.

    Raises:
        TrainingError: the file is missing, is no checkpoint, or fits less than half of this network.
    """
    own = network.state_dict()
    shared = {
        name: tensor
        for name, tensor in load_checkpoint(path)['ema'].items()
        if name in own and own[name].shape == tensor.shape
    }
    if len(shared) < len(own) / 2:
        raise TrainingError(
            f'{path}: only {len(shared)} of {len(own)} tensors fit this student; start from a run of the same size'
        )
    network.load_state_dict({**own, **shared})
    return len(shared)
