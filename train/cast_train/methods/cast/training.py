# SPDX-License-Identifier: Apache-2.0
"""How the networks of a CAST recipe are trained: the student, and teachers that are networks of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cast_train.data import Sample, Source, StrongViews, split_labels, subset_of
from cast_train.engine.evaluate import Predictor, evaluate, headline
from cast_train.engine.task import Task
from cast_train.methods.cast.recipe import CastRecipe
from cast_train.methods.cast.task import CastTask
from cast_train.methods.method import MethodRun, Pictures, score
from cast_train.methods.method_recipe import StageSection
from cast_train.methods.stages import Stages
from cast_train.models import StudentNetwork
from cast_train.models.graph import TorchStudent

# The published code's strong view changes colours and blurs always.
CAST_STRONG = StrongViews(jitter=1.0, blur=1.0)


class CastTraining(MethodRun[CastRecipe]):
    """Pictures, their split and the contract of a recipe at one seed, and what trains with them; see ``MethodRun``."""

    def __init__(self, recipe: CastRecipe, stages: Stages, pictures: Pictures) -> None:
        super().__init__(recipe, stages, pictures, recipe.of_stage(recipe.stages.distillation, recipe.student.size))
        self.pictures = pictures
        self.split = split_labels(pictures.names, pictures.scenes, recipe.data.labels, recipe.data.dataset)

    def samples(self, indices: Sequence[int]) -> Sequence[Sample]:
        """Training pictures with their true labels."""
        return subset_of(self.pictures.train, indices)

    def inputs(self, stage: StageSection | None, **own: Any) -> dict[str, Any]:
        """See ``MethodRun``; what a stage does without decides nothing of it."""
        recipe = self.recipe
        contrast = recipe.contrast.model_dump(mode='json') if stage is not None and stage.contrast else None
        pseudo = recipe.pseudo_labels.digested() if stage is None or stage.unlabelled else None
        return super().inputs(stage, **{'contrast': contrast, 'pseudo_labels': pseudo, **own})

    def task(self, network: StudentNetwork, stage: StageSection) -> CastTask:
        """The unified objective with the weights of a stage."""
        contrast = self.recipe.contrast if stage.contrast else None
        return CastTask(network, self.recipe.losses, stage.semi, contrast, stage.steps)

    def learn(
        self,
        task: Task,
        stage: StageSection,
        labelled: Sequence[Sample],
        others: Sequence[Sample],
        folder: Path,
        strong: StrongViews | None = None,
        size: str | None = None,
    ) -> None:
        """Train a student, or a network of another size, going on with what is in a folder.

        Without other pictures all of a batch is labelled. What the contrast needs of strong views is made anyway.
        """
        mixed = stage.unlabelled > 0 and bool(others)
        sources = [Source(labelled, stage.labelled if mixed else stage.labelled + stage.unlabelled)]
        if mixed:
            sources.append(Source(others, stage.unlabelled))
        if strong is None and stage.contrast:
            strong = CAST_STRONG
        self.train(task, stage, self.recipe.of_stage(stage, size), sources, folder, strong, self._on_held_out)

    def figures(self, predictor: Predictor) -> dict[str, float]:
        """Those by the validation pictures."""
        return score(predictor, self.pictures)

    def _on_held_out(self, student: StudentNetwork) -> dict[str, float]:
        return headline(evaluate(TorchStudent(student, self.contract), self.samples(self.split.held_out)))
