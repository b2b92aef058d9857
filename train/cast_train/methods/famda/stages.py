# SPDX-License-Identifier: Apache-2.0
"""FAMDA from top to bottom: learn the labelled source, then adapt to the unlabelled target – with its baselines.

Our reconstruction of a paper that is known by its abstract (papers.md §3.3); ``methods.famda.task`` has the step.

    1  segments, depth   teachers look at the target once: class-agnostic masks, and depth          (``teachers``)
    2  source            the student learns the labels of the source                                L_sup(source)
    3  adapted           and goes on: source labels, and what its own average says of the target    ``FamdaTask``

Every method of ``Famda`` is one stage; a stage that was done before is found in the store (``methods.stages``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from cast_train.data import Dataset, Sample, Source, StrongViews, joined, read_samples, subset_of
from cast_train.data.registry import common_classes
from cast_train.engine.contract import build_contract
from cast_train.engine.evaluate import evaluate, headline
from cast_train.engine.fitting import start_student
from cast_train.engine.task import SupervisedTask, Task
from cast_train.engine.trained import load_student, millions, seconds_in, weights_in
from cast_train.errors import DataError, RecipeError
from cast_train.methods.famda.rare_classes import rare_class_chances
from cast_train.methods.famda.recipe import DomainSection, FamdaRecipe, TeacherSection
from cast_train.methods.famda.target import TargetPictures, measure_norms_in
from cast_train.methods.famda.task import FamdaTask
from cast_train.methods.method_recipe import StageSection
from cast_train.methods.stage_training import train_stage
from cast_train.methods.stages import Stage, Stages, digest_of, digest_of_file, digest_of_samples
from cast_train.models import Student
from cast_train.models.graph import TorchStudent
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.labelling import LabelRun
from cast_train.teachers.registry import DEPTH_TEACHERS, SEGMENT_TEACHERS, Kind, open_teacher
from cast_train.teachers.report import CollapseRule


class Domain(NamedTuple):
    """The pictures of a domain, with all the labels that the data set has of them."""

    train: Sequence[Sample]
    validation: Sequence[Sample]


class Domains:
    """The pictures that a recipe names, read once unless it says otherwise.

    Attributes:
        classes: of both domains.
        source: training pictures without a class map are left out: nobody can learn from them.
        target: as it is.
        digest: of all of them.

    Raises:
        DataError: a data set is not as expected, source and target differ in their classes, or the source has no class
            map.
    """

    def __init__(self, recipe: FamdaRecipe) -> None:
        sections = recipe.source, recipe.target
        opened = [([section.open(one) for one in section.train], _judging(section)) for section in sections]
        self.classes = common_classes([one.classes for train, judging in opened for one in (*train, *judging)])
        source, self.target = (
            Domain(read_samples(train, section.in_memory), read_samples(judging, section.in_memory))
            for section, (train, judging) in zip(sections, opened, strict=True)
        )
        labelled = [row for row, sample in enumerate(source.train) if sample.semantic is not None]
        if not labelled:
            raise DataError(f'{recipe.source.root}: the {recipe.source.name} has no class map to learn from')
        complete = len(labelled) == len(source.train)
        self.source = source if complete else source._replace(train=subset_of(source.train, labelled))
        self.digest = _digest(sections, (*self.source, *self.target))


def _digest(sections: Sequence[DomainSection], parts: Sequence[Sequence[Sample]]) -> str:
    """Of pictures and labels, and of what else they may mean: classes by map, cameras of recordings."""
    digest = digest_of_samples(chain.from_iterable(parts))
    maps = [section.class_map for section in sections]
    if any(maps):
        digest = digest_of({'samples': digest, 'class_maps': maps})
    if any(section.dataset == 'frames' for section in sections):
        # A bag may be imported again with another calibration.
        digest = digest_of({'samples': digest, 'fx_px': [sample.fx_px for part in parts for sample in part]})
    return digest


def _judging(section: DomainSection) -> list[Dataset]:
    return [section.open(one) for one in section.validation]


class Famda:
    """One recipe at one seed.

    Args:
        recipe: see ``methods.famda.recipe``.
        stages: where finished stages are found and new ones go.
        domains: of the recipe, so that the rows of a table need not read them again.

    Raises:
        RecipeError: a protected class, or the sky that depth is to find, does not exist.
    """

    def __init__(self, recipe: FamdaRecipe, stages: Stages, domains: Domains) -> None:
        # What does not train, too: two threads round a teacher's scores otherwise, and a run that goes on after a kill
        # would start with as many as torch likes.
        torch.set_num_threads(recipe.run.threads)
        self.recipe, self.stages, self.domains = recipe, stages, domains
        self.contract = build_contract(recipe.of_stage(recipe.stages.adaptation), domains.classes)
        refinement = recipe.adaptation.refinement
        self.protected = self._class_ids(
            () if refinement is None else refinement.protected, 'adaptation.refinement.protected'
        )
        self.sky_id = (
            self._class_ids(('sky',), 'adaptation.sky_from_depth')[0] if recipe.adaptation.sky_from_depth else None
        )

    # What teachers say about the target.

    def segments(self) -> Stage | None:
        """Class-agnostic masks of the target's training pictures; None where the recipe has no such teacher."""
        return self._labelled('famda-segments', self.recipe.segments, SEGMENT_TEACHERS)

    def depth(self) -> Stage | None:
        """Depth of the target's training pictures; None where the recipe has no such teacher."""
        return self._labelled('famda-depth', self.recipe.depth_teacher, DEPTH_TEACHERS)

    # The student.

    def source(self) -> Stage:
        """The labels of the source alone: where every adaptation starts."""
        return self._supervised('famda-source', self.recipe.stages.source, self.domains.source.train, None)

    def adapted(self) -> Stage:
        """The student of ``source`` goes on with the target."""
        recipe, stage = self.recipe, self.recipe.stages.adaptation
        if not stage.unlabelled:
            raise RecipeError(f'{recipe.name}: stages.adaptation needs unlabelled pictures in each step')
        start, segments, depth = self.source(), self.segments(), self.depth()
        inputs = {
            **self._inputs(stage),
            'start': start.digest,
            'segments': None if segments is None else segments.digest,
            'depth_teacher': None if depth is None else depth.digest,
            'adaptation': recipe.adaptation.model_dump(mode='json'),
            'strong': recipe.strong.model_dump(mode='json'),
            'relative_depth': recipe.relative_depth,
            **({'target_labels_every': recipe.target_labels_every} if recipe.target_labels_every else {}),
        }

        def work(folder: Path) -> dict[str, Any]:
            task = FamdaTask(
                self._started(start),
                recipe.losses,
                recipe.adaptation,
                self.protected,
                recipe.relative_depth,
                recipe.depth.cap_m,
                self.sky_id,
            )
            target = self.unlabelled_target(segments, depth)
            sources = [self._source(stage.labelled), Source(target, stage.unlabelled)]
            self._train(task, stage, sources, folder, recipe.learned_from(), recipe.strong)
            if recipe.adaptation.norms == 'target':
                measure_norms_in(folder, self.domains.target.train, recipe.target.root)
            return self._judged(folder)

        return self.stages.once('famda', inputs, work)

    # Baselines.

    def source_only(self) -> Stage:
        """No adaptation: the labels of the source for as many steps as ``source`` and ``adapted`` together."""
        stage = self.recipe.stages.source_only
        return self._supervised('famda-source', _asked_for(stage, 'source_only'), self.domains.source.train, None)

    def oracle(self) -> Stage:
        """What the target's labels would give: the student of ``source`` goes on with the labels of both."""
        stage = _asked_for(self.recipe.stages.oracle, 'oracle')
        start = self.source()
        return self._supervised('famda-oracle', stage, self.domains.source.train, start, self.domains.target.train)

    # How a stage is done.

    def unlabelled_target(self, segments: Stage | None, depth: Stage | None) -> Sequence[Sample]:
        """The target's training pictures with what teachers say, and without any label of their own."""
        asked = [stage for stage in (segments, depth) if stage is not None]
        caches = [LabelCache(stage.folder, stage.result['fingerprint']) for stage in asked]
        pictures = TargetPictures(self.domains.target.train, caches)
        return list(pictures) if self.recipe.target.in_memory else pictures

    def _labelled(self, name: str, section: TeacherSection | None, kinds: dict[str, Kind]) -> Stage | None:
        if section is None:
            return None
        teacher = open_teacher(section.kind, section.settings, self.domains.classes, kinds)
        target = self.domains.target.train

        def work(folder: Path) -> dict[str, Any]:
            LabelCache(folder, teacher.fingerprint).sweep()
            # Masks without classes may all be of one, and have no score.
            rule = CollapseRule(most_one_class=1.0, least_confidence=0.0)
            run = LabelRun(folder, self.domains.classes, rule=rule, batch=1, say=self.stages.say)
            run.label(teacher, target)
            return {'fingerprint': teacher.fingerprint, 'pictures': len(target)}

        inputs = {'teacher': teacher.fingerprint, 'data': self.domains.digest}
        return self.stages.once(name, inputs, work)

    def _supervised(
        self,
        name: str,
        stage: StageSection,
        labelled: Sequence[Sample],
        start: Stage | None,
        others: Sequence[Sample] | None = None,
    ) -> Stage:
        """Learn labels: of the source, and for the oracle ``stage.unlabelled`` pictures a step of the target's."""
        recipe = self.recipe
        inputs = {
            **self._inputs(stage),
            'start': None if start is None else start.digest,
            'target_labels': others is not None,
        }

        def work(folder: Path) -> dict[str, Any]:
            sources = [Source(labelled, stage.labelled)]
            if others is not None:
                if not stage.unlabelled:
                    raise RecipeError(f'{recipe.name}: stages.oracle needs pictures of the target under `unlabelled`')
                sources.append(Source(others, stage.unlabelled))
            domains = [recipe.source] if others is None else [recipe.source, recipe.target]
            learned_from = ', '.join(domain.in_words for domain in domains)
            self._train(SupervisedTask(self._started(start), recipe.losses), stage, sources, folder, learned_from)
            return self._judged(folder)

        return self.stages.once(name, inputs, work)

    def _started(self, start: Stage | None) -> Student:
        section = self.recipe.student
        if start is not None:
            section = section.model_copy(update={'initial': weights_in(start.folder)})
        return start_student(section, self.contract, self.recipe.seed)

    def _source(self, count: int) -> Source:
        """Labelled pictures: of the source, and of the target where the recipe asks for some of its labels."""
        rare, every = self.recipe.adaptation.rare_classes, self.recipe.target_labels_every
        samples: Sequence[Sample] = self.domains.source.train
        if rare is None and every is None:
            return Source(samples, count)
        chances = np.full(len(samples), 1 / len(samples))
        if rare is not None:
            chances = rare_class_chances(samples, len(self.domains.classes), rare.temperature, rare.least_share)
        if every is None:
            return Source(samples, count, chances)
        labelled = self.domains.target.train[::every]
        of_target = np.full(len(labelled), 1 / len(labelled))
        return Source(joined(samples, labelled), count, np.concatenate([chances, of_target]) / 2)

    def _train(
        self,
        task: Task,
        stage: StageSection,
        sources: Sequence[Source],
        folder: Path,
        learned_from: str,
        strong: StrongViews | None = None,
    ) -> None:
        note = ' and '.join(f'{len(source.samples)} pictures' for source in sources)
        plain = self.recipe.of_stage(stage).model_copy(update={'learned_from': learned_from})
        train_stage(task, stage, plain, self.contract, sources, folder, strong, None, note)

    def _judged(self, folder: Path) -> dict[str, Any]:
        """Figures on the target, and under the source's name those on the source."""
        network = load_student(weights_in(folder), self.recipe.target.root)[0].network
        student = TorchStudent(network, self.contract)
        figures = headline(evaluate(student, self.domains.target.validation))
        on_source = headline(evaluate(student, self.domains.source.validation))
        figures |= {f'{self.recipe.source.name}_{name}': value for name, value in on_source.items()}
        return {'params_m': millions(network), 'metrics': figures, 'train_seconds': seconds_in(folder)}

    def _inputs(self, stage: StageSection) -> dict[str, Any]:
        recipe, student = self.recipe, self.recipe.student
        return {
            'settings': stage.model_dump(mode='json'),
            'losses': recipe.losses.model_dump(mode='json'),
            'augmentation': recipe.augmentation.model_dump(mode='json'),
            'input': recipe.input.model_dump(mode='json'),
            'depth': recipe.depth.model_dump(mode='json'),
            'seed': recipe.seed,
            'data': self.domains.digest,
            'student': student.size,
            **student.digested(),
            'backbone': None if student.backbone_weights is None else digest_of_file(student.backbone_weights),
            'initial': None if student.initial is None else digest_of_file(student.initial),
        }

    def _class_ids(self, names: Sequence[str], key: str) -> tuple[int, ...]:
        known = {entry.name: entry.id for entry in self.domains.classes}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise RecipeError(f'{self.recipe.name}: {key}: no class {unknown[0]!r}; known are {", ".join(known)}')
        return tuple(known[name] for name in names)


def _asked_for(section: StageSection | None, name: str) -> StageSection:
    if section is None:
        raise RecipeError(f'the recipe has no stages.{name}; add that section to run this baseline')
    return section


STAGES: dict[str, Callable[[Famda], Stage]] = {
    stage.__name__: stage for stage in (Famda.source, Famda.adapted, Famda.source_only, Famda.oracle)
}
