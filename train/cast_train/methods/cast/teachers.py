# SPDX-License-Identifier: Apache-2.0
"""How each kind of teacher is opened and adapted to labels: stage 1 differs by teacher, the rest does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from cast_train.data import Sample
from cast_train.engine.checkpoint import LAST
from cast_train.engine.trained import load_student
from cast_train.errors import RecipeError
from cast_train.methods.cast.recipe import CompositeSection, GroundedSection, NetworkSection
from cast_train.methods.cast.training import CastTraining
from cast_train.methods.method_recipe import StageSection
from cast_train.methods.stages import digest_of_file
from cast_train.teachers.composite import CompositeTeacher
from cast_train.teachers.network import NetworkTeacher
from cast_train.teachers.promptable import open_promptable
from cast_train.teachers.teacher import Teacher


class AdaptableTeacher(Protocol):
    """What stage 1 needs of a kind of teacher."""

    def inputs(self) -> dict[str, Any]:
        """What decides the pretrained teacher: settings, and digests of its files."""

    def open(self, folder: Path | None) -> Teacher:
        """The teacher as pretrained (None), or as ``adapt`` left it in a folder."""

    def adapt(
        self, stage: StageSection | None, labelled: Sequence[Sample], others: Sequence[Sample], folder: Path
    ) -> None:
        """Start from the pretrained weights and learn, going on with what is in the folder."""


class AdaptableNetwork:
    """A network of ours that is adapted as a whole."""

    section: NetworkSection | CompositeSection

    def __init__(self, training: CastTraining) -> None:
        section = training.recipe.teacher
        assert isinstance(section, (NetworkSection, CompositeSection))
        self._training, self.section = training, section

    def inputs(self) -> dict[str, Any]:
        """See ``AdaptableTeacher``."""
        return {
            'teacher': self.section.model_dump(mode='json', exclude={'adapt', 'initial', 'masks'}),
            'initial': digest_of_file(self.section.initial),
            **self._training.recipe.model_dump(mode='json', include={'input', 'depth'}),
            'data': self._training.pictures.digest,
        }

    def adapt(
        self, stage: StageSection | None, labelled: Sequence[Sample], others: Sequence[Sample], folder: Path
    ) -> None:
        """See ``AdaptableTeacher``."""
        training = self._training
        if stage is None:
            raise RecipeError(f'{training.recipe.name}: a {self.section.kind} teacher needs its sections under stages')
        task = training.task(self._network(None), stage)
        training.learn(task, stage, labelled, others, folder, size=self.section.size)

    def open(self, folder: Path | None) -> Teacher:
        """See ``AdaptableTeacher``."""
        return NetworkTeacher(self._network(folder), self._training.contract)

    def _network(self, folder: Path | None) -> Any:
        if folder is not None:
            return load_student(folder / LAST, self._training.recipe.data.root)[0].network
        return self._training.started(self.section.initial, self.section.size)


class AdaptableComposite(AdaptableNetwork):
    """A detector that is adapted, and a promptable mask network that stays frozen."""

    section: CompositeSection

    def inputs(self) -> dict[str, Any]:
        """See ``AdaptableTeacher``."""
        return {**super().inputs(), 'masks': digest_of_file(self.section.masks)}

    def open(self, folder: Path | None) -> Teacher:
        """See ``AdaptableTeacher``."""
        masks, masks_input = open_promptable(self.section.masks)
        return CompositeTeacher(self._network(folder), self._training.contract, masks, masks_input)


class AdaptableGroundedSam2:
    """Grounding DINO, whose language model stays frozen, and SAM 2, of which at most the mask decoder learns."""

    def __init__(self, training: CastTraining) -> None:
        section = training.recipe.teacher
        assert isinstance(section, GroundedSection)
        self._training, self._section = training, section

    def inputs(self) -> dict[str, Any]:
        """See ``AdaptableTeacher``."""
        return {
            'teacher': self._section.model_dump(mode='json', exclude={'adapt'}),
            'pretrained': self.open(None).fingerprint,
            'data': self._training.pictures.digest,
        }

    def adapt(
        self, stage: StageSection | None, labelled: Sequence[Sample], others: Sequence[Sample], folder: Path
    ) -> None:
        """See ``AdaptableTeacher``; the stage is not used, the section of the teacher says how.

        Draws follow the seed of the recipe, unless that section names one. The folder is of one stage, so that a
        network that lies in it, and does so whole or not at all, is the one that is wanted.
        """
        from cast_train.methods.cast import grounded_sam2_adaptation as adaptation

        samples, section, seed = [*labelled, *others], self._section, {'seed': self._training.recipe.seed}
        teacher, classes = self._settings(None), self._training.pictures.classes
        if adaptation.is_missing(folder / 'detector'):
            detector = adaptation.DetectorAdaptation(**{**seed, **section.detector})
            adaptation.adapt_detector(teacher, classes, samples, detector, folder / 'detector')
        if section.mask_decoder is not None and adaptation.is_missing(folder / 'segmenter'):
            decoder = adaptation.MaskDecoderAdaptation(**{**seed, **section.mask_decoder})
            adaptation.adapt_mask_decoder(teacher, samples, decoder, folder / 'segmenter')

    def open(self, folder: Path | None) -> Teacher:
        """See ``AdaptableTeacher``."""
        from cast_train.teachers.grounded_sam2 import GroundedSam2

        return GroundedSam2(self._settings(folder), self._training.pictures.classes)

    def _settings(self, folder: Path | None) -> Any:
        from cast_train.teachers.grounded_sam2 import GroundedSam2Settings

        adapted = {
            part: str(folder / part) for part in ('detector', 'segmenter') if folder and (folder / part).is_dir()
        }
        return GroundedSam2Settings(**{**self._section.settings, **adapted})


TEACHERS: dict[str, Callable[[CastTraining], AdaptableTeacher]] = {
    'network': AdaptableNetwork,
    'composite': AdaptableComposite,
    'grounded_sam2': AdaptableGroundedSam2,
}
