# SPDX-License-Identifier: Apache-2.0
"""SwinMTL from top to bottom: one supervised stage that learns depth and segmentation, with a critic beside it.

    L = L_seg + L_d − weight·E[C(student)]; the critic C learns in turn        (papers.md §2.2, ``task``)

The critic, the form of depth and CutMix are switches, for any of our students: ``student.size`` decides whether the
network is SwinMTL's (``swinmtl``, ``swinmtl-mini``) or one with queries. docs/swinmtl.md says what is the paper's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from cast_train.data import Source
from cast_train.engine.evaluate import Predictor
from cast_train.engine.task import SupervisedTask, Task
from cast_train.engine.validation import Finding, check_recipe
from cast_train.methods.method import MethodRun, Pictures, score
from cast_train.methods.pipeline import Method, Staged, Told
from cast_train.methods.stages import Stages, StoredStage, digest_of_samples
from cast_train.methods.swinmtl.cutmix import cut_mix
from cast_train.methods.swinmtl.recipe import SwinMtlRecipe
from cast_train.methods.swinmtl.task import AdversarialTask

DEPTH_FIGURES = ('abs_rel', 'rmse', 'delta1')


class SwinMtl(MethodRun[SwinMtlRecipe]):
    """One recipe at one seed; see ``MethodRun``."""

    def __init__(self, recipe: SwinMtlRecipe, stages: Stages, pictures: Pictures) -> None:
        super().__init__(recipe, stages, pictures, recipe.of_student)
        self.pictures = pictures

    def student(self) -> StoredStage:
        """The student, taught by all labels."""
        recipe, pictures = self.recipe, self.pictures
        inputs = self.student_inputs(
            recipe.stage,
            losses=recipe.taught.model_dump(mode='json'),
            # In the form of the first runs, so that theirs are found.
            data=digest_of_samples(chain(pictures.train, pictures.validation)),
            student=[recipe.student.size, recipe.student.depth_form],
        )
        inputs.pop('depth_form', None)

        def work(folder: Path) -> dict[str, Any]:
            network = self.started(recipe.student.initial)
            task: Task
            if recipe.critic is None:
                task = SupervisedTask(network, recipe.taught)
            else:
                task = AdversarialTask(network, recipe.taught, recipe.critic, recipe.depth.cap_m)
            mix = partial(cut_mix, thing_ids=self.contract.thing_ids) if recipe.cut_mix else None
            sources = [Source(pictures.train, recipe.stage.labelled)]
            self.train(task, recipe.stage, recipe.of_student, sources, folder, mix=mix)
            return self.judged(folder)

        return self.stages.once('swinmtl', inputs, work)

    def figures(self, predictor: Predictor) -> dict[str, float]:
        """Those of the tasks that are taught."""
        return {name: value for name, value in score(predictor, self.pictures).items() if self._is_taught(name)}

    def _is_taught(self, figure: str) -> bool:
        return ('depth' if figure in DEPTH_FIGURES else 'segmentation') in self.recipe.tasks


STAGES: dict[str, Callable[[SwinMtl], StoredStage]] = {'student': SwinMtl.student}


def _check(recipe: SwinMtlRecipe) -> list[Finding]:
    return check_recipe(recipe.of_student.model_copy(update={'student': recipe.student}))


def _tell(swinmtl: SwinMtl) -> Told:
    recipe, pictures = swinmtl.recipe, swinmtl.pictures
    return Told(
        f'{len(pictures.train)} pictures with labels',
        {
            'method': 'SwinMTL',
            'tasks': ', '.join(recipe.tasks),
            'critic': 'no' if recipe.critic is None else 'yes',
            'cut_mix': 'yes' if recipe.cut_mix else 'no',
        },
        recipe.of_student,
        {'data_sha256': pictures.digest},
    )


STAGED = Staged(
    read=lambda recipe: Pictures(recipe.data),
    identity=lambda recipe: recipe.data.model_dump_json(),
    make=SwinMtl,
    stages=STAGES,
    last='student',
    tell=_tell,
)
METHOD = Method(_check, STAGED)
