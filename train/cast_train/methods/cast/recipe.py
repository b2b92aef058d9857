# SPDX-License-Identifier: Apache-2.0
"""The recipe of a CAST run: teacher, labels, the stages and the baselines, in one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from cast_train.data.splits import LabelChoice
from cast_train.engine.recipe import NamedPictures, Recipe
from cast_train.methods.method_recipe import MethodRecipe, StageSection, refuse_patience
from cast_train.models import SIZES
from cast_train.models.backbones import STRIDES
from cast_train.settings import Positive, Settings, Share, Weight, one_of
from cast_train.teachers.report import CollapseRule
from cast_train.teachers.teacher import PseudoLabelSettings

SamplerName = Literal['uniform', 'mask', 'class', 'fusion', 'published']
Temperature = Annotated[float, Field(gt=0, le=10)]


class PixelContrast(Settings):
    """How pixels are contrasted.

    Attributes:
        weight: λ_pxl of the objective; zero switches the term off.
        negatives: R, drawn for each anchor.
        temperature_start, temperature_end: T falls linearly from the first to the last step.
        sampler: what decides which negatives are likely; ``published`` also takes the published code's hinge, and
            negatives of other pictures alone.
        stride: level of the encoder that is contrasted.
        anchors: cells of each picture that are contrasted at each step, chosen at random; null takes all.
        candidates: cells among which the anchors of one picture draw at each step, chosen uniformly; null takes all.
        same_image: share of the candidates that are cells of the anchor's own picture; null treats all cells alike.
        object_queries: count a query's mask by 1 − p(no object); the paper counts all alike.
        chunk: anchors worked on at once; bounds memory to some arrays of chunk × candidates, and changes no value.
    """

    weight: Weight = 0.1
    negatives: Positive = 200
    temperature_start: Temperature = 0.3
    temperature_end: Temperature = 0.07
    sampler: SamplerName = 'fusion'
    stride: Literal[4, 8, 16, 32] = 8
    anchors: Positive | None = 128
    candidates: Positive | None = 512
    same_image: Share | None = None
    object_queries: bool = False
    chunk: Positive = 256

    @property
    def level(self) -> int:
        """Index of ``stride`` in the encoder's features."""
        return STRIDES.index(self.stride)

    def temperature(self, progress: float) -> float:
        """T at ``progress`` 0…1 of the training."""
        return self.temperature_start + (self.temperature_end - self.temperature_start) * progress


class CastData(NamedPictures):
    """Where the pictures are and which of them have labels, of which every stage knows its own."""

    places: ClassVar = NamedPictures.places | {'labels'}

    labels: LabelChoice = LabelChoice(fraction=0.1, held_out=0.15)


class NetworkSection(Settings):
    """A network of ours, adapted as a whole: its size, and the checkpoint that it starts from."""

    kind: Literal['network']
    size: Annotated[str, one_of(SIZES)]
    initial: Path
    adapt: bool = True


class CompositeSection(Settings):
    """A detector of ours that is adapted, and a promptable mask network that stays frozen (``teachers.composite``)."""

    kind: Literal['composite']
    size: Annotated[str, one_of(SIZES)]
    initial: Path
    masks: Path
    adapt: bool = True


class GroundedSection(Settings):
    """Grounding DINO and SAM 2 (``teachers.grounded_sam2``).

    Attributes:
        settings: of the teacher as pretrained; keys of ``GroundedSam2Settings``.
        detector: how the detector is adapted; keys of ``DetectorAdaptation``, of which ``seed`` is the recipe's if it
            is not there.
        mask_decoder: how the mask decoder is adapted; keys of ``MaskDecoderAdaptation``, with ``seed`` as above. None
            leaves it as it is, as the published code does.
        adapt: False labels with the pretrained teacher.
    """

    kind: Literal['grounded_sam2']
    settings: dict[str, Any]
    detector: dict[str, Any] = Field(default_factory=dict)
    mask_decoder: dict[str, Any] | None = None
    adapt: bool = True


class PseudoLabelSection(PseudoLabelSettings):
    """Which of the teacher's answers a student learns from, and when they are too poor for that.

    Attributes:
        collapse: limits that stop the labelling (``teachers.report``); they are looked at while pictures are labelled.
    """

    added: ClassVar = ('collapse',)

    collapse: CollapseRule = CollapseRule()

    def digested(self) -> dict[str, Any]:
        """What decides a label. A limit only decides whether there is one: whoever moves it trains nothing anew."""
        return self.model_dump(mode='json', exclude={'collapse'})


class GuidedSection(Settings):
    """Guided Distillation (papers: burn-in with a fixed teacher, then a moving-average one).

    Attributes:
        burn_in: steps with the fixed teacher; the rest of the steps follow the moving average.
        decay: of that average.
        score: class probability above which a query becomes a pseudo-label.
        area: sum of mask probabilities, in cells of the mask grid, above which it does.
        stage: length, batch and optimizer; ``semi`` is 2 in the paper.
    """

    burn_in: Positive
    decay: Share = 0.9996
    score: Share = 0.7
    area: Weight = 5.0
    stage: StageSection


class StageSections(Settings):
    """All stages and baselines; a recipe that leaves one out cannot run it.

    The stages of a ``grounded_sam2`` teacher are set in its own section. ``student_pretraining`` is not of the paper:
    it gives every student of the recipe, baselines included, the same start (``Cast.student_pretrained``).
    """

    student_pretraining: StageSection | None = None
    teacher_supervised: StageSection | None = None
    teacher_self_training: StageSection | None = None
    distillation: StageSection
    refinement: StageSection
    student_supervised: StageSection | None = None
    guided_distillation: GuidedSection | None = None

    @model_validator(mode='after')
    def _nobody_is_judged_by_what_it_learns(self) -> StageSections:
        every_label = {
            'teacher_supervised': self.teacher_supervised,
            'teacher_self_training': self.teacher_self_training,
            'student_supervised': self.student_supervised,
            'guided_distillation.stage': None if self.guided_distillation is None else self.guided_distillation.stage,
        }
        refuse_patience(
            every_label, 'learns every label, those of the held-out pictures as well, and cannot be judged by them'
        )
        refuse_patience(
            {'student_pretraining': self.student_pretraining}, 'learns without a single label, and none may end it'
        )
        return self


class CastRecipe(MethodRecipe):
    """The whole recipe."""

    by_stage: ClassVar = MethodRecipe.by_stage | {'teacher', 'data', 'stages'}

    method: Literal['cast']
    teacher: Annotated[CompositeSection | NetworkSection | GroundedSection, Field(discriminator='kind')]
    data: CastData
    contrast: PixelContrast = PixelContrast()
    pseudo_labels: PseudoLabelSection = PseudoLabelSection()
    stages: StageSections

    @model_validator(mode='after')
    def _student_has_queries(self) -> CastRecipe:
        if not SIZES[self.student.size].has_queries:
            raise ValueError(f'student.size {self.student.size!r} answers no instances; CAST distils them')
        return self

    @model_validator(mode='after')
    def _patience_has_pictures_to_judge_by(self) -> CastRecipe:
        stages, held_out = self.stages, self.data.labels.held_out
        for name in ('distillation', 'refinement'):
            if getattr(stages, name).patience is not None and held_out == 0:
                raise ValueError(
                    f'stages.{name}.patience judges by labelled pictures that are held out, and data.labels.held_out '
                    f'is 0; set it to a share such as 0.15, or stages.{name}.patience to null'
                )
        return self

    def of_stage(self, stage: StageSection, size: str | None = None) -> Recipe:
        """The plain recipe of one stage of the student or of the teacher's detector."""
        return self.plain(stage, self.data, size)
