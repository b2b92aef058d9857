# SPDX-License-Identifier: Apache-2.0
"""The recipe of a CAST run: teacher, labels, the stages and the baselines, in one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cast_train.data import Augmentation
from cast_train.data.splits import LabelChoice
from cast_train.engine.recipe import (
    DataSection,
    DepthSection,
    InputSection,
    NamedPictures,
    OptimizerSection,
    Phase,
    Recipe,
    RunSection,
    StudentSection,
    load_document,
    parse,
)
from cast_train.losses import LossSection
from cast_train.losses.pixel_contrast import PixelContrast
from cast_train.models import SIZES
from cast_train.settings import Positive, Settings, Share, Side, Weight
from cast_train.teachers import PseudoLabelSettings


class CastData(NamedPictures):
    """Where the pictures are and which of them have labels."""

    labels: LabelChoice = LabelChoice(fraction=0.1, held_out=0.15)


class NetworkSection(Settings):
    """A network of ours, adapted as a whole: its size, and the checkpoint that it starts from."""

    kind: Literal['network']
    size: str
    initial: Path
    adapt: bool = True


class CompositeSection(Settings):
    """A detector of ours that is adapted, and a promptable mask network that stays frozen (``teachers.composite``)."""

    kind: Literal['composite']
    size: str
    initial: Path
    masks: Path
    adapt: bool = True


class GroundedSection(Settings):
    """Grounding DINO and SAM 2 (``teachers.grounded_sam2``).

    Attributes:
        settings: of the teacher as pretrained; keys of ``GroundedSam2Settings``.
        detector: how the detector is adapted; keys of ``DetectorAdaptation``.
        mask_decoder: how the mask decoder is adapted; keys of ``MaskDecoderAdaptation``. None leaves it as it is,
            as the published code does.
        adapt: False labels with the pretrained teacher.
    """

    kind: Literal['grounded_sam2']
    settings: dict[str, Any]
    detector: dict[str, Any] = Field(default_factory=dict)
    mask_decoder: dict[str, Any] | None = None
    adapt: bool = True


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
        patience: such looks without improvement before it stops; None runs all steps and keeps the last weights.
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


class CastRecipe(Settings):
    """The whole recipe."""

    method: Literal['cast']
    name: Annotated[str, Field(min_length=1, pattern=r'^[a-z0-9][a-z0-9._-]*$')]
    version: str
    license: str
    seed: Annotated[int, Field(ge=0)] = 1
    student: StudentSection
    teacher: Annotated[CompositeSection | NetworkSection | GroundedSection, Field(discriminator='kind')]
    input: InputSection
    depth: DepthSection
    data: CastData
    augmentation: Augmentation = Augmentation()
    losses: LossSection = LossSection()
    contrast: PixelContrast = PixelContrast()
    pseudo_labels: PseudoLabelSettings = PseudoLabelSettings()
    stages: StageSections
    run: RunSection = RunSection()

    @model_validator(mode='after')
    def _student_has_queries(self) -> CastRecipe:
        if self.student.size in SIZES and not SIZES[self.student.size].has_queries:
            raise ValueError(f'student.size {self.student.size!r} answers no instances; CAST distils them')
        return self

    def of_stage(self, stage: StageSection, size: str) -> Recipe:
        """The plain recipe of one stage, which its checkpoints carry: they evaluate and export like any other."""
        return Recipe(
            name=self.name,
            version=self.version,
            license=self.license,
            seed=self.seed,
            student=StudentSection(
                size=size, depth_form=self.student.depth_form if size == self.student.size else None
            ),
            input=self.input,
            depth=self.depth,
            data=DataSection(**self.data.model_dump(exclude={'labels'})),
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
            losses=self.losses,
            run=self.run.model_copy(update={'evaluate_every': stage.judge_every}),
        )


def load_cast_recipe(path: Path, overrides: tuple[str, ...] = ()) -> CastRecipe:
    """Read a YAML recipe and apply ``key.sub=value`` overrides.

    Raises:
        RecipeError: unreadable, not YAML, an unknown key (with the nearest known one), or a value out of range.
    """
    return parse_cast_recipe(load_document(path, overrides), str(path))


def parse_cast_recipe(document: dict[str, Any], source: str) -> CastRecipe:
    """Check a recipe that is already a mapping; ``source`` names it in errors."""
    return parse(CastRecipe, document, source)
