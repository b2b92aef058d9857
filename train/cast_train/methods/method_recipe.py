# SPDX-License-Identifier: Apache-2.0
"""What the recipes of all methods that train a student have in common, and the plain recipe of one of their stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cast_train.engine.recipe import (
    DataSection,
    NamedPictures,
    OptimizerSection,
    Phase,
    Recipe,
    StudentRecipe,
    StudentSection,
)
from cast_train.losses.supervised import LossSection
from cast_train.settings import Positive, Settings, Side, Weight


class StageSection(Settings):
    """One stretch of training.

    Attributes:
        height, width: size of the views.
        labelled: pictures with true labels in each step.
        unlabelled: pictures with pseudo-labels in each step.
        steps: number of steps.
        optimizer: of this stage.
        semi: λ of the loss on pseudo-labels.
        contrast: whether the pixel contrastive loss is on.
        judge_every: steps between two looks at the held-out labelled pictures, where a stage stops early.
        patience: such looks without improvement before it stops; None runs all steps and keeps the last weights. For
            stages that do not learn the labels of the pictures that judge them: CAST's distillation and refinement.
    """

    height: Side
    width: Side
    labelled: Positive
    unlabelled: Annotated[int, Field(ge=0)] = 0
    steps: Positive
    optimizer: OptimizerSection = OptimizerSection()
    semi: Weight = 0.0
    contrast: bool = False
    judge_every: Positive = 100
    patience: Positive | None = None


def refuse_patience(stages: Mapping[str, StageSection | None], why: str) -> None:
    """See that none of some stages would stop early, as a validator of their recipe does.

    Args:
        stages: by their key in the recipe; those that are None are left out.
        why: they must not, for the error.

    Raises:
        ValueError: one would.
    """
    for name, stage in stages.items():
        if stage is not None and stage.patience is not None:
            raise ValueError(f'{name}.patience: {why}; leave it out, the stage then runs all its steps')


class MethodRecipe(StudentRecipe):
    """The base of every method's recipe: what it is trained on, and in which stages, is the method's.

    Every key decides every stage that trains, so that none is forgotten, but for those that a class names:

    Attributes:
        undecisive: keys that decide no stage.
        by_stage: keys of which a stage knows a part or another form; its method takes them into its inputs itself.
    """

    undecisive: ClassVar = frozenset({'method', 'name', 'version', 'license'})
    by_stage: ClassVar = frozenset({'student', 'run'})

    def digested(self) -> dict[str, Any]:
        """What decides every stage that trains; where a key is at a default that came later it is left out."""
        written = self.model_dump(mode='json', exclude={*self.undecisive, *self.by_stage})
        return {**written, **self.run.digested()}

    def sized(self, size: str | None) -> StudentSection:
        """The student's section, or that of a network of another size, which has nothing of the student's."""
        return self.student if size in (None, self.student.size) else StudentSection(size=size)

    def plain(
        self, stage: StageSection, pictures: NamedPictures, size: str | None = None, losses: LossSection | None = None
    ) -> Recipe:
        """The plain recipe of one stage, which its checkpoints carry: they evaluate and export like any other.

        Args:
            stage: how long, at which size.
            pictures: what names the classes of the student.
            size: of the network that the stage trains, if it is not the student.
            losses: instead of the recipe's.
        """
        return Recipe(
            name=self.name,
            version=self.version,
            license=self.license,
            seed=self.seed,
            student=self.sized(size).model_copy(update={'backbone_weights': None, 'initial': None}),
            input=self.input,
            depth=self.depth,
            data=DataSection(**pictures.model_dump(include=set(NamedPictures.model_fields))),
            augmentation=self.augmentation,
            phases=(
                Phase(
                    height=stage.height,
                    width=stage.width,
                    batch=stage.labelled + stage.unlabelled,
                    steps=stage.steps,
                ),
            ),
            optimizer=stage.optimizer,
            losses=losses or self.losses,
            run=self.run.model_copy(update={'evaluate_every': stage.judge_every}),
        )
