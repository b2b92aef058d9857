# SPDX-License-Identifier: Apache-2.0
"""SwinMTL from top to bottom: one supervised stage that learns depth and segmentation, with a critic beside it.

    L = L_seg + L_d − weight·E[C(student)]; the critic C learns in turn        (papers.md §2.2, ``losses.adversarial``)

The critic, the form of depth and CutMix are switches, for any of our students: ``student.size`` decides whether the
network is SwinMTL's (``swinmtl``, ``swinmtl-mini``) or one with queries. docs/swinmtl.md says what is the paper's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cast_train.data import Source, read_samples
from cast_train.data.cutmix import cut_mix
from cast_train.data.registry import common_classes
from cast_train.engine.contract import build_contract
from cast_train.engine.evaluate import evaluate, headline
from cast_train.engine.fitting import start_student
from cast_train.engine.recipe import NamedPictures, Recipe
from cast_train.engine.task import SupervisedTask, Task
from cast_train.export.checkpoint import load_student
from cast_train.losses import LossSection
from cast_train.losses.adversarial import AdversarialSection
from cast_train.methods.adversarial_task import AdversarialTask
from cast_train.methods.method_recipe import MethodRecipe, StageSection, refuse_patience
from cast_train.methods.stage_training import train_stage
from cast_train.methods.stages import Stage, Stages, digest_of_file, digest_of_samples
from cast_train.methods.trained import millions, seconds_in, weights_in
from cast_train.models.graph import TorchStudent

TaskName = Literal['segmentation', 'depth']
# Weights of ``LossSection`` that teach each task.
TERMS: dict[TaskName, tuple[str, ...]] = {
    'segmentation': ('classification', 'bce', 'dice', 'box', 'centre', 'composed_semantic', 'dense_semantic'),
    'depth': ('depth',),
}
DEPTH_FIGURES = ('abs_rel', 'rmse', 'delta1')


class SwinMtlRecipe(MethodRecipe):
    """The whole recipe.

    Attributes:
        tasks: what is taught; the figures of the other one are not reported.
        critic: None leaves it out.
        cut_mix: paste squares of one picture into another (``data.cutmix``).
        stage: how long, at which size; all its pictures are labelled.
    """

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


class LabelledPictures:
    """The pictures that a recipe names, read once.

    Raises:
        DataError: a data set is not as expected.
    """

    def __init__(self, data: NamedPictures) -> None:
        train, validation = ([data.open(part) for part in parts] for parts in (data.train, data.validation))
        self.classes = common_classes([one.classes for one in (*train, *validation)])
        self.train, self.validation = (read_samples(part, data.in_memory) for part in (train, validation))
        self.digest = digest_of_samples(chain(self.train, self.validation))


class SwinMtl:
    """One recipe at one seed.

    Args:
        recipe: see there.
        stages: where finished stages are found and new ones go.
        pictures: of the recipe, so that the rows of a table need not read them again.
    """

    def __init__(self, recipe: SwinMtlRecipe, stages: Stages, pictures: LabelledPictures) -> None:
        self.recipe, self.stages, self.pictures = recipe, stages, pictures
        self.contract = build_contract(recipe.of_student, pictures.classes)

    def student(self) -> Stage:
        """The student, taught by all labels."""
        recipe = self.recipe
        student = recipe.student
        inputs = {
            'settings': recipe.stage.model_dump(mode='json'),
            'losses': recipe.taught.model_dump(mode='json'),
            'critic': None if recipe.critic is None else recipe.critic.model_dump(mode='json'),
            'cut_mix': recipe.cut_mix,
            'augmentation': recipe.augmentation.model_dump(mode='json'),
            'input': recipe.input.model_dump(mode='json'),
            'depth': recipe.depth.model_dump(mode='json'),
            'seed': recipe.seed,
            'data': self.pictures.digest,
            'student': [student.size, student.depth_form],
            **({} if student.widths is None else {'widths': student.widths.model_dump(mode='json')}),
            'backbone': None if student.backbone_weights is None else digest_of_file(student.backbone_weights),
            'initial': None if student.initial is None else digest_of_file(student.initial),
        }
        return self.stages.once('swinmtl', inputs, self._train)

    def _train(self, folder: Path) -> dict[str, Any]:
        recipe, stage = self.recipe, self.recipe.stage
        network = start_student(recipe.student, self.contract, recipe.seed)
        task: Task
        if recipe.critic is None:
            task = SupervisedTask(network, recipe.taught)
        else:
            task = AdversarialTask(network, recipe.taught, recipe.critic, recipe.depth.cap_m)
        train_stage(
            task,
            stage,
            recipe.of_student,
            self.contract,
            [Source(self.pictures.train, stage.labelled)],
            folder,
            strong=None,
            judge=None,
            note=f'{len(self.pictures.train)} pictures',
            mix=partial(cut_mix, thing_ids=self.contract.thing_ids) if recipe.cut_mix else None,
        )
        trained = load_student(weights_in(folder), recipe.data.root)[0].network
        figures = headline(evaluate(TorchStudent(trained, self.contract), self.pictures.validation))
        taught = {name: value for name, value in figures.items() if self._is_taught(name)}
        return {'params_m': millions(trained), 'metrics': taught, 'train_seconds': seconds_in(folder)}

    def _is_taught(self, figure: str) -> bool:
        return ('depth' if figure in DEPTH_FIGURES else 'segmentation') in self.recipe.tasks


STAGES: dict[str, Callable[[SwinMtl], Stage]] = {'student': SwinMtl.student}
