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

from cast_train.data import Sample, StrongViews
from cast_train.engine.checkpoint import LAST
from cast_train.engine.task import Task
from cast_train.engine.trained import load_student, weights_in
from cast_train.engine.validation import Finding, check_files, check_recipe
from cast_train.methods.cast.recipe import CastRecipe
from cast_train.methods.cast.task import GuidedTask
from cast_train.methods.cast.teachers import TEACHERS
from cast_train.methods.cast.training import CastTraining
from cast_train.methods.method import Pictures, asked_for
from cast_train.methods.method_recipe import StageSection
from cast_train.methods.pipeline import Method, Staged, Told
from cast_train.methods.stages import Stages, StoredStage, digest_of_stage
from cast_train.models import StudentNetwork
from cast_train.teachers.labelling import LabelRun, pseudo_labelled
from cast_train.teachers.teacher import TeacherAsStudent

PRETRAINED = 'teacher-pretrained'
PRETRAINING_SEED = 0
GUIDED_STRONG = StrongViews()


class Cast(CastTraining):
    """One recipe at one seed; see ``MethodRun``."""

    def __init__(self, recipe: CastRecipe, stages: Stages, pictures: Pictures) -> None:
        super().__init__(recipe, stages, pictures)
        self.every_label = sorted((*self.split.labelled, *self.split.held_out))
        self.teacher = TEACHERS[recipe.teacher.kind](self)

    # Stage 1: the teacher.

    def teacher_pretrained(self) -> StoredStage:
        """The teacher as it comes, judged zero-shot."""
        return self.stages.once(PRETRAINED, self.teacher.inputs(), lambda folder: self._judged_teacher(None, folder))

    def teacher_supervised(self) -> StoredStage:
        """1a: the pretrained teacher learns the labels."""
        return self._adapted('teacher-supervised', self.recipe.stages.teacher_supervised, None)

    def teacher_self_training(self) -> StoredStage:
        """1b: the pretrained teacher starts again, with what stage 1a says about the pictures without labels."""
        if not self.recipe.teacher.adapt:
            return self.teacher_pretrained()
        pseudo = self.pseudo_labels(self.teacher_supervised())
        return self._adapted('teacher-self-training', self.recipe.stages.teacher_self_training, pseudo)

    def pseudo_labels(self, teacher: StoredStage) -> StoredStage:
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

    def student_pretrained(self) -> StoredStage:
        """Not of the paper: a student learns from the pretrained teacher on all pictures, without a single label.

        Every student of the recipe starts from it, as the paper's starts from DINOv2; all seeds share it. A recipe
        that names ``student.initial`` starts its students from that file instead.
        """
        stage = asked_for(self.recipe.stages.student_pretraining, 'student_pretraining')
        pseudo = self.pseudo_labels(self.teacher_pretrained())
        # Not the recipe's seed in anything: whichever seed comes first trains it for all.
        shared = CastTraining(self.recipe.model_copy(update={'seed': PRETRAINING_SEED}), self.stages, self.pictures)

        def work(folder: Path) -> dict[str, Any]:
            everything = self._pseudo_samples(pseudo, range(len(self.pictures.train)))
            shared.learn(shared.task(shared.started(None), stage), stage, everything, [], folder)
            return self.judged(folder)

        return self.stages.once(
            'student-pretrained', shared.student_inputs(stage, labelled=[], pseudo=pseudo.digest), work
        )

    def distillation(self) -> StoredStage:
        """2: a fresh student learns from the labels and from the adapted teacher; held-out labels are not looked at."""
        pseudo = self.pseudo_labels(self.teacher_self_training())
        return self._student('distillation', self.recipe.stages.distillation, self.split.labelled, pseudo)

    def refinement(self) -> StoredStage:
        """3: the distilled student goes on with labels alone, until the held-out ones see no gain."""
        start = self.distillation()
        return self._student('refinement', self.recipe.stages.refinement, self.split.labelled, start=start)

    # Baselines: the same student, data and number of steps.

    def student_supervised(self) -> StoredStage:
        """A fresh student and the labels alone."""
        stage = asked_for(self.recipe.stages.student_supervised, 'student_supervised')
        return self._student('student-supervised', stage, self.every_label)

    def guided_distillation(self) -> StoredStage:
        """Guided Distillation (papers §4.3): a fresh student follows the supervised one, then its own average."""
        settings = asked_for(self.recipe.stages.guided_distillation, 'guided_distillation')
        teacher = self.student_supervised()

        def make(student: StudentNetwork) -> Task:
            guide = load_student(teacher.folder / LAST, self.recipe.data.root)[0].network
            return GuidedTask(student, guide, self.recipe.losses, settings)

        inputs: dict[str, Any] = {'guide': teacher.digest, 'guided': settings.model_dump(mode='json')}
        return self._student('guided-distillation', settings.stage, self.every_label, make=make, **inputs)

    # How a stage is done.

    def _adapted(self, name: str, stage: StageSection | None, pseudo: StoredStage | None) -> StoredStage:
        """Adapt the pretrained teacher; ``pseudo`` holds labels for the pictures without."""
        labels = {'labelled': self.every_label, 'pseudo': digest_of_stage(pseudo)}
        inputs = {**self.teacher.inputs(), **self.inputs(stage, **labels)}

        def work(folder: Path) -> dict[str, Any]:
            others = self._pseudo_samples(pseudo, self.split.unlabelled)
            self.teacher.adapt(stage, self.samples(self.every_label), others, folder)
            return self._judged_teacher(folder, folder)

        return self.stages.once(name, inputs, work)

    def _student(
        self,
        name: str,
        stage: StageSection,
        labelled: Sequence[int],
        pseudo: StoredStage | None = None,
        start: StoredStage | None = None,
        make: Callable[[StudentNetwork], Task] | None = None,
        **more: Any,
    ) -> StoredStage:
        """Train a student: from ``start`` or afresh, on labels and, if given, pseudo-labels.

        A task that is made otherwise sees the unlabelled pictures instead; ``more`` decides what it does.
        """
        initial = self.recipe.student.initial
        if start is None and initial is None and self.recipe.stages.student_pretraining is not None:
            start = self.student_pretrained()
        given = {'labelled': list(labelled), 'pseudo': digest_of_stage(pseudo), 'start': digest_of_stage(start)}

        def work(folder: Path) -> dict[str, Any]:
            student = self.started(initial if start is None else weights_in(start.folder))
            mine = self.samples(labelled)
            if make is None:
                hidden = sorted((*self.split.unlabelled, *self.split.held_out))
                self.learn(self.task(student, stage), stage, mine, self._pseudo_samples(pseudo, hidden), folder)
            else:
                self.learn(make(student), stage, mine, self.samples(self.split.unlabelled), folder, GUIDED_STRONG)
            return self.judged(folder)

        return self.stages.once(name, self.student_inputs(stage, **given, **more), work)

    def _judged_teacher(self, adapted: Path | None, folder: Path) -> dict[str, Any]:
        teacher = self.teacher.open(adapted)
        return self.result(TeacherAsStudent(teacher, self.contract), teacher.parameters_m, folder)

    def _pseudo_samples(self, pseudo: StoredStage | None, indices: Sequence[int]) -> Sequence[Sample]:
        """Pictures as a teacher labels them."""
        if pseudo is None:
            return []
        fingerprint, settings = pseudo.result['fingerprint'], self.recipe.pseudo_labels
        found = pseudo_labelled(self.samples(indices), pseudo.folder, fingerprint, settings)
        return list(found) if self.recipe.data.in_memory else found


STAGES: dict[str, Callable[[Cast], StoredStage]] = {
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


def _check(recipe: CastRecipe) -> list[Finding]:
    """The stage that costs most memory stands for all of the student's."""
    teacher = recipe.teacher.model_dump()
    files = check_files([(f'teacher.{key}', teacher[key]) for key in ('initial', 'masks') if key in teacher])
    present = [recipe.stages.distillation, recipe.stages.refinement]
    largest = max(present, key=lambda stage: (stage.labelled + stage.unlabelled) * stage.height * stage.width)
    plain = recipe.of_stage(largest, recipe.student.size)
    return [*files, *check_recipe(plain.model_copy(update={'student': recipe.student}))]


def _tell(cast: Cast) -> Told:
    recipe, pictures, split = cast.recipe, cast.pictures, cast.split
    return Told(
        f'{len(cast.every_label)} of {len(pictures.train)} pictures with labels ({split.source})',
        {'method': 'CAST', 'labels': split.source, 'teacher': recipe.teacher.kind},
        recipe.of_stage(recipe.stages.refinement, recipe.student.size),
        {
            'data_sha256': pictures.digest,
            'labelled': [pictures.names[index] for index in split.labelled],
            'held_out': [pictures.names[index] for index in split.held_out],
        },
    )


STAGED = Staged(
    read=lambda recipe: Pictures(recipe.data),
    identity=lambda recipe: recipe.data.model_dump_json(exclude={'labels'}),
    make=Cast,
    stages=STAGES,
    last='refinement',
    tell=_tell,
)
METHOD = Method(_check, STAGED)
