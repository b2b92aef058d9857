# SPDX-License-Identifier: Apache-2.0
"""CAST from top to bottom: adapt the teacher, distil, refine – with its baselines at the end.

Every method of ``Cast`` is one stage and asks for the stages that it builds on; a stage that was done before is found
in the store (``methods.stages``). In the paper's order (J is the unified objective, ``methods.cast.task``):

    1a  teacher_supervised      pretrained teacher, labels alone               J(D_l, –;   0,      λ_pxl)
    1b  teacher_self_training   pretrained teacher again, with pseudo-labels   J(D_l, D_u; 1,      λ_pxl)
    2   distillation            student, the adapted teacher's pseudo-labels   J(D_l, D_u; λ_semi, λ_pxl)
    3   refinement              student, labels alone, stops early             J(D_l, –;   0,      0)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from cast_train.data import Sample, StrongViews
from cast_train.engine.checkpoint import LAST
from cast_train.engine.evaluate import evaluate, headline
from cast_train.engine.fitting import take_over
from cast_train.engine.task import Task
from cast_train.engine.trained import load_student, millions, seconds_in, weights_in
from cast_train.errors import RecipeError
from cast_train.methods.cast.recipe import CastRecipe
from cast_train.methods.cast.task import GuidedTask
from cast_train.methods.cast.teachers import TEACHERS
from cast_train.methods.cast.training import CAST_STRONG, CastTraining, Pictures
from cast_train.methods.method_recipe import StageSection
from cast_train.methods.stages import Stage, Stages, digest_of_file
from cast_train.models import Student
from cast_train.models.graph import TorchStudent
from cast_train.teachers.labelling import LabelRun, PseudoSamples
from cast_train.teachers.teacher import TeacherAsStudent

PRETRAINED = 'teacher-pretrained'
PRETRAINING_SEED = 0
GUIDED_STRONG = StrongViews()


class Cast:
    """One recipe at one seed.

    Args:
        recipe: see ``methods.cast.recipe``.
        stages: where finished stages are found and new ones go.
        pictures: of ``recipe.data``, so that the rows of a table need not read them again.
    """

    def __init__(self, recipe: CastRecipe, stages: Stages, pictures: Pictures) -> None:
        # What does not train, too: two threads round a teacher's scores otherwise, and a run that goes on after a kill
        # would start with as many as torch likes.
        torch.set_num_threads(recipe.run.threads)
        self.recipe, self.stages, self.pictures = recipe, stages, pictures
        self.training = CastTraining(recipe, pictures)
        self.split, self.contract = self.training.split, self.training.contract
        self.every_label = sorted((*self.split.labelled, *self.split.held_out))
        self.teacher = TEACHERS[recipe.teacher.kind](self.training)

    # Stage 1: the teacher.

    def teacher_pretrained(self) -> Stage:
        """The teacher as it comes, judged zero-shot."""
        return self.stages.once(PRETRAINED, self.teacher.inputs(), lambda _: self._judged_teacher(None))

    def teacher_supervised(self) -> Stage:
        """1a: the pretrained teacher learns the labels."""
        return self._adapted('teacher-supervised', self.recipe.stages.teacher_supervised, None)

    def teacher_self_training(self) -> Stage:
        """1b: the pretrained teacher starts again, with what stage 1a says about the pictures without labels."""
        if not self.recipe.teacher.adapt:
            return self.teacher_pretrained()
        pseudo = self.pseudo_labels(self.teacher_supervised())
        return self._adapted('teacher-self-training', self.recipe.stages.teacher_self_training, pseudo)

    def pseudo_labels(self, teacher: Stage) -> Stage:
        """What a teacher says about every training picture."""
        inputs = {'teacher': teacher.digest, 'data': self.pictures.digest}
        classes, settings = self.pictures.classes, self.recipe.pseudo_labels

        def work(folder: Path) -> dict[str, Any]:
            network = self.teacher.open(None if teacher.name == PRETRAINED else teacher.folder)
            # One by one: a batch rounds as its members have it, and a killed run must come to the very same labels.
            run = LabelRun(folder, classes, settings.score, settings.collapse, batch=1, say=self.stages.say)
            report = run.label(network, self.pictures.train)
            return {'fingerprint': network.fingerprint, 'report': report.as_document(classes, settings.score)}

        return self.stages.once('pseudo-labels', inputs, work)

    # Stages 2 and 3: the student.

    def student_pretrained(self) -> Stage:
        """Not of the paper: a student learns from the pretrained teacher on all pictures, without a single label.

        Every student of the recipe starts from it, as the paper's starts from DINOv2; all seeds share it. A recipe
        that names ``student.initial`` starts its students from that file instead.
        """
        stage = _asked_for(self.recipe.stages.student_pretraining, 'student_pretraining')
        pseudo = self.pseudo_labels(self.teacher_pretrained())
        inputs = {**self._student_inputs(stage, []), 'pseudo': pseudo.digest, 'seed': PRETRAINING_SEED}

        def work(folder: Path) -> dict[str, Any]:
            everything = self._pseudo_samples(pseudo, range(len(self.pictures.train)))
            # Not the recipe's seed in anything: whichever seed comes first trains it for all.
            shared = CastTraining(self.recipe.model_copy(update={'seed': PRETRAINING_SEED}), self.pictures)
            size = self.recipe.student.size
            shared.run(shared.task(shared.fresh(size), stage), stage, size, everything, [], folder, CAST_STRONG)
            return self._judged_student(folder)

        return self.stages.once('student-pretrained', inputs, work)

    def distillation(self) -> Stage:
        """2: a fresh student learns from the labels and from the adapted teacher; held-out labels are not looked at."""
        stage = self.recipe.stages.distillation
        pseudo = self.pseudo_labels(self.teacher_self_training())
        return self._student('distillation', stage, self.split.labelled, pseudo, None)

    def refinement(self) -> Stage:
        """3: the distilled student goes on with labels alone, until the held-out ones see no gain."""
        return self._student(
            'refinement', self.recipe.stages.refinement, self.split.labelled, None, self.distillation()
        )

    # Baselines: the same student, data and number of steps.

    def student_supervised(self) -> Stage:
        """A fresh student and the labels alone."""
        stage = _asked_for(self.recipe.stages.student_supervised, 'student_supervised')
        return self._student('student-supervised', stage, self.every_label, None, None)

    def guided_distillation(self) -> Stage:
        """Guided Distillation (papers §4.3): a fresh student follows the supervised one, then its own average."""
        settings = _asked_for(self.recipe.stages.guided_distillation, 'guided_distillation')
        teacher = self.student_supervised()

        def make(student: Student) -> Task:
            guide = load_student(teacher.folder / LAST, self.recipe.data.root)[0].network
            return GuidedTask(student, guide, self.recipe.losses, settings)

        others = self.training.samples(self.split.unlabelled)
        inputs = {'guide': teacher.digest, 'guided': settings.model_dump(mode='json')}
        return self._student('guided-distillation', settings.stage, self.every_label, None, None, make, others, inputs)

    # How a stage is done.

    def _adapted(self, name: str, stage: StageSection | None, pseudo: Stage | None) -> Stage:
        """Adapt the pretrained teacher; ``pseudo`` holds labels for the pictures without."""
        inputs = {
            **self.teacher.inputs(),
            **self._inputs(stage, self.every_label),
            'pseudo': None if pseudo is None else pseudo.digest,
        }

        def work(folder: Path) -> dict[str, Any]:
            labelled = self.training.samples(self.every_label)
            self.teacher.adapt(stage, labelled, self._pseudo_samples(pseudo, self.split.unlabelled), folder)
            return {**self._judged_teacher(folder), 'train_seconds': seconds_in(folder)}

        return self.stages.once(name, inputs, work)

    def _student(
        self,
        name: str,
        stage: StageSection,
        labelled: Sequence[int],
        pseudo: Stage | None,
        start: Stage | None,
        make: Callable[[Student], Task] | None = None,
        others: Sequence[Sample] | None = None,
        more: dict[str, Any] | None = None,
    ) -> Stage:
        """Train a student: from ``start`` or afresh, on labels and, if given, pseudo-labels or unlabelled pictures."""
        size, initial = self.recipe.student.size, self.recipe.student.initial
        if start is None and initial is None and self.recipe.stages.student_pretraining is not None:
            start = self.student_pretrained()
        hidden = sorted((*self.split.unlabelled, *self.split.held_out))
        inputs = {
            **self._student_inputs(stage, labelled),
            'pseudo': None if pseudo is None else pseudo.digest,
            'start': None if start is None else start.digest,
            **(more or {}),
        }

        def work(folder: Path) -> dict[str, Any]:
            student = self.training.fresh(size)
            if start is not None:
                take_over(student, weights_in(start.folder))
            elif initial is not None:
                take_over(student, initial)
            task = self.training.task(student, stage) if make is None else make(student)
            extra = self._pseudo_samples(pseudo, hidden) if others is None else others
            strong = GUIDED_STRONG if make else CAST_STRONG
            self.training.run(task, stage, size, self.training.samples(labelled), extra, folder, strong)
            return self._judged_student(folder)

        return self.stages.once(name, inputs, work)

    def _judged_student(self, folder: Path) -> dict[str, Any]:
        network = load_student(weights_in(folder), self.recipe.data.root)[0].network
        figures = headline(evaluate(TorchStudent(network, self.contract), self.pictures.validation))
        return {'params_m': millions(network), 'metrics': figures, 'train_seconds': seconds_in(folder)}

    def _student_inputs(self, stage: StageSection, labelled: Sequence[int]) -> dict[str, Any]:
        student = self.recipe.student
        return {
            **self._inputs(stage, labelled),
            'student': student.size,
            **student.digested(),
            'backbone': None if student.backbone_weights is None else digest_of_file(student.backbone_weights),
            'initial': None if student.initial is None else digest_of_file(student.initial),
        }

    def _judged_teacher(self, folder: Path | None) -> dict[str, Any]:
        teacher = self.teacher.open(folder)
        figures = headline(evaluate(TeacherAsStudent(teacher, self.contract), self.pictures.validation))
        return {'params_m': teacher.parameters_m, 'metrics': figures, 'train_seconds': 0.0}

    def _inputs(self, stage: StageSection | None, labelled: Sequence[int]) -> dict[str, Any]:
        recipe, unmixed = self.recipe, stage is not None and not stage.unlabelled
        return {
            'settings': None if stage is None else stage.model_dump(mode='json'),
            'contrast': recipe.contrast.model_dump(mode='json') if stage is not None and stage.contrast else None,
            'pseudo_labels': None if unmixed else recipe.pseudo_labels.digested(),
            'losses': recipe.losses.model_dump(mode='json'),
            'augmentation': recipe.augmentation.model_dump(mode='json'),
            'input': recipe.input.model_dump(mode='json'),
            'depth': recipe.depth.model_dump(mode='json'),
            'seed': recipe.seed,
            'data': self.pictures.digest,
            'labelled': list(labelled),
        }

    def _pseudo_samples(self, pseudo: Stage | None, indices: Sequence[int]) -> Sequence[Sample]:
        """Pictures as a teacher labels them."""
        if pseudo is None:
            return []
        fingerprint, settings = pseudo.result['fingerprint'], self.recipe.pseudo_labels
        found = PseudoSamples(self.training.samples(indices), pseudo.folder, fingerprint, settings)
        return list(found) if self.recipe.data.in_memory else found


def _asked_for(section: Any, name: str) -> Any:
    if section is None:
        raise RecipeError(f'the recipe has no stages.{name}; add that section to run this baseline')
    return section


STAGES: dict[str, Callable[[Cast], Stage]] = {
    stage.__name__: stage
    for stage in (
        Cast.teacher_pretrained,
        Cast.teacher_supervised,
        Cast.teacher_self_training,
        Cast.student_pretrained,
        Cast.distillation,
        Cast.refinement,
        Cast.student_supervised,
        Cast.guided_distillation,
    )
}
