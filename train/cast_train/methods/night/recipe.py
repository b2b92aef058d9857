# SPDX-License-Identifier: Apache-2.0
"""The recipe of `cast-train night`: everything but the recordings and the student, which the command line names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.student import ClassInfo, StudentContract
from cast_train.data import Augmentation, StrongViews
from cast_train.data.bag_plan import ImportSettings
from cast_train.data.frame_selection import SelectionRules
from cast_train.data.time_blocks import BlockRules
from cast_train.engine.recipe import DepthSection, InputSection, Part, RunSection, StudentSection
from cast_train.errors import RecipeError
from cast_train.losses.supervised import LossSection
from cast_train.methods.famda.recipe import AdaptationSection, DomainSection, FamdaRecipe, FamdaStages, TeacherSection
from cast_train.methods.method_recipe import StageSection
from cast_train.settings import Positive, Settings, Weight

SOURCE, TARGET = 'day', 'night'


class ImportSection(Settings):
    """How frames are taken from bags; as the options of `cast-train import-bag`.

    Attributes:
        topic: of the pictures, in both bags.
        max_width: wider pictures are shrunk to it.
        selection: which frames are dropped.
        blocks: how train and val are kept apart.
    """

    topic: str = topics.IMAGE
    max_width: Positive | None = None
    selection: SelectionRules = SelectionRules()
    blocks: BlockRules = BlockRules()

    def settings(self, domain: str, classes: tuple[ClassInfo, ...]) -> ImportSettings:
        """For one bag, whose frames get these classes."""
        return ImportSettings(
            topic=self.topic,
            domain=domain,
            classes=classes,
            max_width=self.max_width,
            selection=self.selection,
            blocks=self.blocks,
        )


class GateSection(Settings):
    """By how many points AP and mIoU of the source may fall before the new student is refused."""

    ap: Weight = 1.0
    miou: Weight = 1.0


class NightRecipe(Settings):
    """The whole recipe; sizes of views are the student's own input, whatever ``stages`` says.

    Attributes:
        in_memory: read every frame once; false decodes them anew each time, for long recordings.
    """

    method: Literal['night']
    name: Annotated[str, Field(min_length=1, pattern=r'^[a-z0-9][a-z0-9._-]*$')]
    version: str
    license: str
    seed: Annotated[int, Field(ge=0)] = 1
    imports: ImportSection = ImportSection()
    in_memory: bool = True
    segments: TeacherSection | None = None
    depth_teacher: TeacherSection | None = None
    relative_depth: Weight = 1.0
    augmentation: Augmentation = Augmentation()
    strong: StrongViews = StrongViews()
    losses: LossSection = LossSection()
    adaptation: AdaptationSection = AdaptationSection()
    stages: FamdaStages
    gate: GateSection = GateSection()
    run: RunSection = RunSection()

    def famda(self, student: StudentSection, contract: StudentContract, source: Path, target: Path) -> FamdaRecipe:
        """The adaptation of one student from one folder of frames to another.

        Args:
            student: what it is made of, and the checkpoint with its weights.
            contract: of the student; input and depth stay as they are.
            source: folder of frames with labels.
            target: folder of frames without.

        Raises:
            RecipeError: the student has no depth, or an input that no network of ours can take.
        """
        if contract.depth is None:
            raise RecipeError(
                f'{contract.name}: has no depth; cast-train night adapts students with instances and depth'
            )

        def domain(name: str, root: Path) -> DomainSection:
            parts = {split: (Part(split=split),) for split in ('train', 'val')}
            return DomainSection(
                name=name,
                dataset='frames',
                root=root,
                train=parts['train'],
                validation=parts['val'],
                in_memory=self.in_memory,
            )

        def at_size(stage: StageSection) -> StageSection:
            return stage.model_copy(update={'height': contract.input.height, 'width': contract.input.width})

        shared = self.model_dump(exclude={'method', 'imports', 'in_memory', 'gate', 'stages'})
        return FamdaRecipe(
            method='famda',
            student=student,
            input=InputSection(height=contract.input.height, width=contract.input.width, resize=contract.input.resize),
            depth=DepthSection(cap_m=contract.depth.cap_m, focal_reference_px=contract.depth.focal_reference_px),
            source=domain(SOURCE, source),
            target=domain(TARGET, target),
            stages=FamdaStages(source=at_size(self.stages.source), adaptation=at_size(self.stages.adaptation)),
            **shared,
        )
