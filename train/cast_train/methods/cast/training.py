# SPDX-License-Identifier: Apache-2.0
"""How the networks of a CAST recipe are made and trained: the student, and teachers that are networks of ours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch

from cast_train.data import Sample, Source, StrongViews, read_samples, split_labels, subset_of
from cast_train.data.registry import common_classes
from cast_train.engine.contract import build_contract
from cast_train.engine.evaluate import evaluate, headline
from cast_train.engine.task import Task
from cast_train.methods.cast.recipe import CastData, CastRecipe
from cast_train.methods.cast.task import CastTask, GuidedTask
from cast_train.methods.method_recipe import StageSection
from cast_train.methods.stage_training import train_stage
from cast_train.methods.stages import digest_of, digest_of_samples
from cast_train.models import Student
from cast_train.models.graph import TorchStudent

# The published code's strong view changes colours and blurs always.
CAST_STRONG = StrongViews(jitter=1.0, blur=1.0)


class Pictures:
    """The pictures that a recipe names, read once.

    Raises:
        DataError: the data set is not as expected.
    """

    def __init__(self, data: CastData) -> None:
        opened = [data.open(part) for part in data.train]
        judged = [data.open(part) for part in data.validation]
        self.train = read_samples(opened, data.in_memory)
        self.validation = read_samples(judged, data.in_memory)
        self.names = [name for dataset in opened for name in dataset.names]
        self.classes = common_classes([dataset.classes for dataset in (*opened, *judged)])
        self.scenes = [scene for dataset in opened for scene in dataset.scenes]
        self.digest = digest_of_samples(chain(self.train, self.validation))
        if data.class_map is not None:
            # Two maps may give the same numbers to classes of other names, or of which others are things.
            self.digest = digest_of({'samples': self.digest, 'class_map': data.class_map})


class CastTraining:
    """Pictures, their split and the contract of a recipe at one seed, and what trains with them.

    Args:
        recipe: see ``methods.cast.recipe``.
        pictures: of ``recipe.data``.
    """

    def __init__(self, recipe: CastRecipe, pictures: Pictures) -> None:
        self.recipe, self.pictures = recipe, pictures
        self.split = split_labels(pictures.names, pictures.scenes, recipe.data.labels, recipe.data.dataset)
        plain = recipe.of_stage(recipe.stages.distillation, recipe.student.size)
        self.contract = build_contract(plain, pictures.classes)

    def samples(self, indices: Sequence[int]) -> Sequence[Sample]:
        """Training pictures with their true labels."""
        return subset_of(self.pictures.train, indices)

    def fresh(self, size: str) -> Student:
        """A network with the first weights that the recipe's seed gives."""
        torch.manual_seed(self.recipe.seed)
        section = self.recipe.student
        own = size == section.size
        weights = section.backbone_weights if own else None
        return Student(
            section.architecture if own else size, len(self.pictures.classes), self.contract.thing_ids, weights
        )

    def task(self, network: Student, stage: StageSection) -> CastTask:
        """The unified objective with the weights of a stage."""
        contrast = self.recipe.contrast if stage.contrast else None
        return CastTask(network, self.recipe.losses, stage.semi, contrast, stage.steps)

    def run(
        self,
        task: Task,
        stage: StageSection,
        size: str,
        labelled: Sequence[Sample],
        others: Sequence[Sample],
        folder: Path,
        strong: StrongViews,
    ) -> None:
        """Train in a folder, going on with what is there; without other pictures all of a batch is labelled."""
        mixed = stage.unlabelled > 0 and bool(others)
        sources = [Source(labelled, stage.labelled if mixed else stage.labelled + stage.unlabelled)]
        if mixed:
            sources.append(Source(others, stage.unlabelled))
        views = strong if stage.contrast or isinstance(task, GuidedTask) else None

        def judge(student: Student) -> dict[str, float]:
            held_out = self.samples(self.split.held_out)
            return headline(evaluate(TorchStudent(student, self.contract), held_out))

        note = f'{len(labelled)} labelled and {len(others)} other pictures'
        train_stage(task, stage, self.recipe.of_stage(stage, size), self.contract, sources, folder, views, judge, note)
