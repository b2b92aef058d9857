# SPDX-License-Identifier: Apache-2.0
"""The recipe of a SwinMTL run: what is taught, the switches and the one stage, in one YAML file."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from cast_train.engine.recipe import NamedPictures, Recipe
from cast_train.losses.supervised import LossSection
from cast_train.methods.method_recipe import MethodRecipe, StageSection, refuse_patience
from cast_train.settings import Settings, Weight

TaskName = Literal['segmentation', 'depth']
# Weights of ``LossSection`` that teach each task.
TERMS: dict[TaskName, tuple[str, ...]] = {
    'segmentation': ('classification', 'bce', 'dice', 'box', 'centre', 'composed_semantic', 'dense_semantic'),
    'depth': ('depth',),
}


class AdversarialSection(Settings):
    """The critic; numbers of the published code (papers.md §2.2).

    Attributes:
        weight: of −E[C(fake)] in the student's loss.
        penalty: of (‖gradient‖ − 1)² in the critic's loss.
        learning_rate, weight_decay: of its Adam.
    """

    weight: Weight = 0.1
    penalty: Weight = 100.0
    learning_rate: Weight = 1e-4
    weight_decay: Weight = 1e-4


class SwinMtlRecipe(MethodRecipe):
    """The whole recipe.

    Attributes:
        tasks: what is taught; the figures of the other one are not reported.
        critic: None leaves it out.
        cut_mix: paste squares of one picture into another (``swinmtl.cutmix``).
        stage: how long, at which size; all its pictures are labelled.
    """

    # The losses say which tasks are taught.
    by_stage: ClassVar = MethodRecipe.by_stage | {'data', 'stage', 'tasks'}

    method: Literal['swinmtl']
    data: NamedPictures
    tasks: Annotated[tuple[TaskName, ...], Field(min_length=1)] = ('segmentation', 'depth')
    critic: AdversarialSection | None = AdversarialSection()
    cut_mix: bool = True
    stage: StageSection

    @model_validator(mode='after')
    def _parts_agree(self) -> SwinMtlRecipe:
        if self.critic is not None and len(set(self.tasks)) < 2:
            raise ValueError('critic compares depth and segmentation together; set critic=null, or teach both tasks')
        if self.stage.unlabelled:
            raise ValueError('stage.unlabelled must be 0: all pictures are labelled')
        refuse_patience({'stage': self.stage}, 'SwinMTL holds no labels back that could judge it while it learns')
        return self

    @property
    def taught(self) -> LossSection:
        """The losses, without those of a task that is not taught."""
        off = [name for task, names in TERMS.items() if task not in self.tasks for name in names]
        return self.losses.model_copy(update=dict.fromkeys(off, 0.0))

    @property
    def of_student(self) -> Recipe:
        """As supervised training would have it; what the checkpoints carry."""
        return self.plain(self.stage, self.data, losses=self.taught)
