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
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.student import UNLABELLED
from cast_train.data import Sample, Source, common_classes, joined, subset_of
from cast_train.engine.evaluate import Predictor
from cast_train.engine.recipe import DataSection
from cast_train.engine.task import SupervisedTask
from cast_train.engine.trained import weights_in
from cast_train.engine.validation import Finding, check_data, check_files, check_recipe
from cast_train.errors import DataError, RecipeError
from cast_train.methods.famda.recipe import FamdaRecipe, TeacherSection
from cast_train.methods.famda.target import measure_norms_in, unlabelled
from cast_train.methods.famda.task import FamdaTask
from cast_train.methods.method import MethodRun, Pictures, asked_for, digest_of_pictures, score
from cast_train.methods.method_recipe import StageSection
from cast_train.methods.pipeline import Method, Staged, Told
from cast_train.methods.stages import Stages, StoredStage, digest_of, digest_of_stage
from cast_train.models import StudentNetwork
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.labelling import LabelRun
from cast_train.teachers.registry import DEPTH_TEACHERS, SEGMENT_TEACHERS, Kinds, open_teacher
from cast_train.teachers.report import CollapseRule


class Domains:
    """The pictures of both domains, read once unless the recipe says otherwise, with all the labels that they have.

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
        self.source, self.target = Pictures(recipe.source), Pictures(recipe.target)
        self.classes = common_classes([self.source.classes, self.target.classes])
        labelled = [row for row, sample in enumerate(self.source.train) if sample.semantic is not None]
        if not labelled:
            raise DataError(f'{recipe.source.root}: the {recipe.source.name} has no class map to learn from')
        if len(labelled) < len(self.source.train):
            self.source.train = subset_of(self.source.train, labelled)
        self.digest = digest_of_pictures(self.source, self.target)
        if 'frames' in (recipe.source.dataset, recipe.target.dataset):
            # A bag may be imported again with another calibration.
            parts = self.source.train, self.source.validation, self.target.train, self.target.validation
            fx_px = [sample.fx_px for part in parts for sample in part]
            self.digest = digest_of({'samples': self.digest, 'fx_px': fx_px})


class Famda(MethodRun[FamdaRecipe]):
    """One recipe at one seed; see ``MethodRun``.

    Raises:
        RecipeError: a protected class, or the sky that depth is to find, does not exist.
    """

    def __init__(self, recipe: FamdaRecipe, stages: Stages, domains: Domains) -> None:
        super().__init__(recipe, stages, domains, recipe.of_stage(recipe.stages.adaptation))
        self.domains = domains
        refinement = recipe.adaptation.refinement
        self.protected = self._class_ids(
            () if refinement is None else refinement.protected, 'adaptation.refinement.protected'
        )
        self.sky_id = (
            self._class_ids(('sky',), 'adaptation.sky_from_depth')[0] if recipe.adaptation.sky_from_depth else None
        )

    # What teachers say about the target.

    def segments(self) -> StoredStage | None:
        """Class-agnostic masks of the target's training pictures; None where the recipe has no such teacher."""
        return self._labelled('famda-segments', self.recipe.segments, SEGMENT_TEACHERS)

    def depth(self) -> StoredStage | None:
        """Depth of the target's training pictures; None where the recipe has no such teacher."""
        return self._labelled('famda-depth', self.recipe.depth_teacher, DEPTH_TEACHERS)

    # The student.

    def source(self) -> StoredStage:
        """The labels of the source alone: where every adaptation starts."""
        return self._supervised('famda-source', self.recipe.stages.source)

    def adapted(self) -> StoredStage:
        """The student of ``source`` goes on with the target."""
        recipe, stage = self.recipe, self.recipe.stages.adaptation
        if not stage.unlabelled:
            raise RecipeError(f'{recipe.name}: stages.adaptation needs unlabelled pictures in each step')
        start, segments, depth = self.source(), self.segments(), self.depth()
        inputs = self.student_inputs(
            stage,
            start=start.digest,
            segments=digest_of_stage(segments),
            depth_teacher=digest_of_stage(depth),
            **recipe.model_dump(mode='json', include=set(recipe.of_adaptation)),
        )

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
            plain = recipe.of_stage(stage, recipe.learned_from())
            self.train(task, stage, plain, sources, folder, recipe.strong)
            if recipe.adaptation.norms == 'target':
                measure_norms_in(folder, self.domains.target.train, recipe.target.root)
            return self.judged(folder)

        return self.stages.once('famda', inputs, work)

    # Baselines.

    def source_only(self) -> StoredStage:
        """No adaptation: the labels of the source for as many steps as ``source`` and ``adapted`` together."""
        return self._supervised('famda-source', asked_for(self.recipe.stages.source_only, 'source_only'))

    def oracle(self) -> StoredStage:
        """What the target's labels would give: the student of ``source`` goes on with the labels of both."""
        stage = asked_for(self.recipe.stages.oracle, 'oracle')
        return self._supervised('famda-oracle', stage, self.source(), self.domains.target.train)

    # How a stage is done.

    def unlabelled_target(self, segments: StoredStage | None, depth: StoredStage | None) -> Sequence[Sample]:
        """The target's training pictures with what teachers say, and without any label of their own."""
        asked = [stage for stage in (segments, depth) if stage is not None]
        caches = [LabelCache(stage.folder, stage.result['fingerprint']) for stage in asked]
        pictures = unlabelled(self.domains.target.train, caches)
        return list(pictures) if self.recipe.target.in_memory else pictures

    def _labelled(self, name: str, section: TeacherSection | None, kinds: Kinds) -> StoredStage | None:
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
        start: StoredStage | None = None,
        others: Sequence[Sample] | None = None,
    ) -> StoredStage:
        """Learn labels: of the source, and for the oracle ``stage.unlabelled`` pictures a step of the target's."""
        recipe = self.recipe
        inputs = self.student_inputs(stage, start=digest_of_stage(start), target_labels=others is not None)

        def work(folder: Path) -> dict[str, Any]:
            sources, learned_from = [Source(self.domains.source.train, stage.labelled)], recipe.source.in_words
            if others is not None:
                if not stage.unlabelled:
                    raise RecipeError(f'{recipe.name}: stages.oracle needs pictures of the target under `unlabelled`')
                sources.append(Source(others, stage.unlabelled))
                learned_from += f', {recipe.target.in_words}'
            task = SupervisedTask(self._started(start), recipe.losses)
            self.train(task, stage, recipe.of_stage(stage, learned_from), sources, folder)
            return self.judged(folder)

        return self.stages.once(name, inputs, work)

    def _started(self, start: StoredStage | None) -> StudentNetwork:
        return self.started(self.recipe.student.initial if start is None else weights_in(start.folder))

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

    def figures(self, predictor: Predictor) -> dict[str, float]:
        """Those on the target, and under the source's name those on the source."""
        on_source = score(predictor, self.domains.source)
        named = {f'{self.recipe.source.name}_{name}': value for name, value in on_source.items()}
        return {**score(predictor, self.domains.target), **named}

    def _class_ids(self, names: Sequence[str], key: str) -> tuple[int, ...]:
        known = {entry.name: entry.id for entry in self.domains.classes}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise RecipeError(f'{self.recipe.name}: {key}: no class {unknown[0]!r}; known are {", ".join(known)}')
        return tuple(known[name] for name in names)


def rare_class_chances(
    samples: Sequence[Sample], classes: int, temperature: float, least_share: float
) -> npt.NDArray[np.float64]:
    """The chance of each sample when a class is drawn first, P(c) = softmax((1 − f_c) / T), and then one that has it.

    Every sample keeps a small chance through its common classes. DAFormer (papers.md §4.1) also crops again until the
    class is in the view; here the view is left to chance.

    Args:
        samples: with semantic maps.
        classes: number of classes.
        temperature: T; small ones prefer the rarest class.
        least_share: a picture has a class from this share of its pixels on.

    Returns:
        (N,) chances that add up to one.

    Raises:
        DataError: a sample has no semantic map, or none has a labelled pixel.
    """
    shares = np.zeros((len(samples), classes))
    for row, sample in enumerate(samples):
        if sample.semantic is None:
            raise DataError(f'{sample.name}: rare-class sampling needs semantic maps; switch it off for this data set')
        known = sample.semantic[sample.semantic != UNLABELLED]
        shares[row] = np.bincount(known, minlength=classes)[:classes] / sample.semantic.size
    frequency = shares.sum(0) / max(shares.sum(), 1e-12)
    has = shares >= least_share
    present = has.any(0)
    if not present.any():
        raise DataError('no picture has a class that fills enough of it; lower the least share of rare-class sampling')
    logits = np.where(present, (1 - frequency) / temperature, -np.inf)
    chance_of_class = np.exp(logits - logits.max())
    chance_of_class /= chance_of_class.sum()
    chances: npt.NDArray[np.float64] = (has / np.maximum(has.sum(0), 1)) @ chance_of_class
    normalised: npt.NDArray[np.float64] = chances / chances.sum()
    return normalised


STAGES: dict[str, Callable[[Famda], StoredStage]] = {
    stage.__name__: stage for stage in (Famda.source, Famda.adapted, Famda.source_only, Famda.oracle)
}


def check_teachers(segments: TeacherSection | None, depth_teacher: TeacherSection | None) -> list[Finding]:
    """The checkpoints of the networks that teach."""
    teachers = (('segments', segments), ('depth_teacher', depth_teacher))
    return check_files(
        [
            (f'{role}.settings.checkpoint', Path(teacher.settings['checkpoint']))
            for role, teacher in teachers
            if teacher is not None and 'checkpoint' in teacher.settings
        ]
    )


def _check(recipe: FamdaRecipe) -> list[Finding]:
    """Both domains and the networks that teach; the step of the adaptation stands for all stages."""
    source = DataSection(**recipe.source.model_dump(exclude={'name'}))
    plain = recipe.of_stage(recipe.stages.adaptation).model_copy(update={'student': recipe.student})
    return [
        *check_teachers(recipe.segments, recipe.depth_teacher),
        *(Finding(f'{recipe.source.name}: {one.subject}', one.text) for one in check_data(source)[1]),
        *(Finding(f'{recipe.target.name}: {one.subject}', one.text) for one in check_recipe(plain)),
    ]


def _tell(famda: Famda) -> Told:
    recipe, domains = famda.recipe, famda.domains
    teachers = {'segments': recipe.segments, 'depth_teacher': recipe.depth_teacher}
    return Told(
        f'{len(domains.source.train)} pictures of {recipe.source.name} with labels, '
        f'{len(domains.target.train)} of {recipe.target.name} without',
        {
            'method': 'FAMDA, reconstructed',
            'source': recipe.source.name,
            'target': recipe.target.name,
            **{role: 'none' if teacher is None else teacher.kind for role, teacher in teachers.items()},
        },
        recipe.of_stage(recipe.stages.adaptation),
        {'data_sha256': domains.digest},
    )


STAGED = Staged(
    read=Domains,
    identity=lambda recipe: recipe.model_dump_json(include={'source', 'target'}),
    make=Famda,
    stages=STAGES,
    last='adapted',
    tell=_tell,
)
METHOD = Method(_check, STAGED)
