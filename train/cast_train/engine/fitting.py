# SPDX-License-Identifier: Apache-2.0
"""Supervised training from a recipe: data, network and task, handed to the loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from cast_ros.student import StudentContract
from cast_train.data import (
    Augmentation,
    Batch,
    Sample,
    Source,
    ViewRules,
    batches,
    common_classes,
    read_samples,
)
from cast_train.engine.checkpoint import load_checkpoint
from cast_train.engine.evaluate import evaluate, headline
from cast_train.engine.loop import train
from cast_train.engine.recipe import DepthSection, Part, Phase, Recipe, StudentSection
from cast_train.engine.task import SupervisedTask
from cast_train.errors import TrainingError
from cast_train.models import Student
from cast_train.models.graph import TorchStudent


def fit(recipe: Recipe, run: Path, resume: bool) -> dict[str, float]:
    """Train a student from a recipe; the run folder ends up with ``last.pt``, ``log.jsonl`` and TensorBoard events.

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
    samples, classes = read_parts(recipe, recipe.data.train)
    validation, judged = read_parts(recipe, recipe.data.validation)
    contract = recipe.contract_for(common_classes([classes, judged]))

    def stream(first: int) -> Iterator[Batch]:
        return supervised_stream(recipe, samples, contract, first)

    def judge(student: Student) -> dict[str, float]:
        return headline(evaluate(TorchStudent(student, contract), validation))

    return train(
        make_task(recipe, contract),
        recipe.plan,
        stream,
        run,
        judge,
        resume,
        recipe.model_dump(mode='json'),
        note=f'{len(samples)} training and {len(validation)} validation pictures',
    )


def make_task(recipe: Recipe, contract: StudentContract) -> SupervisedTask:
    """The network of a recipe with its first weights, ready for supervised training.

    Raises:
        TrainingError: weights that the recipe names are missing or of another network.
    """
    torch.manual_seed(recipe.seed)
    return SupervisedTask(start_student(recipe.student, contract, recipe.seed), recipe.losses)


def start_student(student: StudentSection, contract: StudentContract, seed: int) -> Student:
    """A network with the first weights that a recipe and its seed give.

    Raises:
        TrainingError: weights that the recipe names are missing or of another network.
    """
    torch.manual_seed(seed)
    network = Student(student.architecture, len(contract.classes), contract.thing_ids, student.backbone_weights)
    if student.initial is not None:
        take_over(network, student.initial)
    return network


def read_parts(recipe: Recipe, parts: tuple[Part, ...]) -> tuple[Sequence[Sample], tuple[Any, ...]]:
    """Read the pictures of some parts of the recipe's data set, and its classes."""
    opened = [recipe.data.open(part) for part in parts]
    samples = read_samples(opened, recipe.data.in_memory)
    return samples[: recipe.data.limit], common_classes([dataset.classes for dataset in opened])


def supervised_stream(
    recipe: Recipe, samples: Sequence[Sample], contract: StudentContract, first: int
) -> Iterator[Batch]:
    """Yield the batches of every phase from step ``first`` on."""
    start = 0
    for phase in recipe.phases:
        end = start + phase.steps
        if first < end:
            rules = view_rules(phase, recipe.depth, recipe.augmentation, contract.thing_ids)
            sources = [Source(samples, phase.batch)]
            yield from batches(sources, rules, recipe.seed, max(first, start), end, recipe.run.workers)
        start = end


def view_rules(
    phase: Phase, depth: DepthSection, augmentation: Augmentation | None, thing_ids: tuple[int, ...]
) -> ViewRules:
    """The views of one phase."""
    return ViewRules(phase.height, phase.width, depth.focal_reference_px, depth.cap_m, thing_ids, augmentation)


def take_over(network: Student, path: Path) -> int:
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
