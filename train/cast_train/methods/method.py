# SPDX-License-Identifier: Apache-2.0
"""What every method is built on: its pictures, what decides its stages, and how a student starts, learns and is judged.

A method names its stages and their order, and brings the tasks that they train; the rest stands here once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from cast_ros.student import ClassInfo
from cast_train.data import Batch, Source, StrongViews, batches, common_classes, read_samples
from cast_train.engine.evaluate import Predictor, evaluate, headline
from cast_train.engine.fitting import start_student, view_rules
from cast_train.engine.judging import EarlyStop
from cast_train.engine.loop import train
from cast_train.engine.recipe import NamedPictures, Recipe
from cast_train.engine.task import Task
from cast_train.engine.trained import load_student, millions, seconds_in, weights_in
from cast_train.errors import RecipeError
from cast_train.methods.method_recipe import MethodRecipe, StageSection
from cast_train.methods.stages import Stages, digest_of, digest_of_file, digest_of_samples
from cast_train.models import StudentNetwork
from cast_train.models.graph import TorchStudent

# Looks at the held-out pictures of which the mean counts; there are few of them.
JUDGED_TOGETHER = 3

MethodRecipeT = TypeVar('MethodRecipeT', bound=MethodRecipe)
SectionT = TypeVar('SectionT')


class Pictures:
    """The pictures that a section of a recipe names, read once.

    Attributes:
        data: the section.
        classes: of all of them.
        train, validation: the samples.
        names, scenes: of the training pictures.

    Raises:
        DataError: the data set is not as expected.
    """

    def __init__(self, data: NamedPictures) -> None:
        opened, judged = ([data.open(part) for part in parts] for parts in (data.train, data.validation))
        self.data = data
        self.classes = common_classes([dataset.classes for dataset in (*opened, *judged)])
        self.train, self.validation = (read_samples(datasets, data.in_memory) for datasets in (opened, judged))
        self.names = [name for dataset in opened for name in dataset.names]
        self.scenes = [scene for dataset in opened for scene in dataset.scenes]

    @cached_property
    def digest(self) -> str:
        """Of all samples, and of what else decides what they mean."""
        return digest_of_pictures(self)


def digest_of_pictures(*read: Pictures) -> str:
    """Of the samples of some sections together, and of the keys that say more than where they lie.

    Two class maps may give the same numbers to classes of other names, or of which others are things.
    """
    digest = digest_of_samples(chain.from_iterable(chain(one.train, one.validation) for one in read))
    meanings = [one.data.digested() for one in read]
    if not any(meanings):
        return digest
    if len(meanings) == 1:
        return digest_of({'samples': digest, **meanings[0]})
    keys = {key for meaning in meanings for key in meaning}
    return digest_of({'samples': digest, **{f'{key}s': [one.get(key) for one in meanings] for key in keys}})


class Read(Protocol):
    """What a method needs to know of its pictures, of one or more sections."""

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Of all of them."""

    @property
    def digest(self) -> str:
        """Of all of them, with what decides what they mean."""


class MethodRun(Generic[MethodRecipeT]):
    """One recipe at one seed.

    Args:
        recipe: of the method.
        stages: where finished stages are found and new ones go.
        pictures: of the recipe, so that the rows of a table need not read them again.
        plain: the plain recipe of the student that comes out.
    """

    def __init__(self, recipe: MethodRecipeT, stages: Stages, pictures: Read, plain: Recipe) -> None:
        # What does not train, too: two threads round a teacher's scores otherwise, and a run that goes on after a kill
        # would start with as many as torch likes.
        torch.set_num_threads(recipe.run.threads)
        self.recipe, self.stages = recipe, stages
        self.contract = plain.contract_for(pictures.classes)
        self._root, self._pictures = plain.data.root, pictures

    def inputs(self, stage: StageSection | None, **own: Any) -> dict[str, Any]:
        """What decides a stage that trains: all of the recipe that may (``MethodRecipe``), and its pictures.

        Args:
            stage: None where the recipe has no section for it.
            own: what only this stage knows, and in place of what all know.
        """
        settings = None if stage is None else stage.model_dump(mode='json')
        return {**self.recipe.digested(), 'settings': settings, 'data': self._pictures.digest, **own}

    def student_inputs(self, stage: StageSection, **own: Any) -> dict[str, Any]:
        """What decides a stage that trains the student: that, and what the student is made of and starts from."""
        student = self.recipe.student
        files = {'backbone': student.backbone_weights, 'initial': student.initial}
        digests = {key: None if path is None else digest_of_file(path) for key, path in files.items()}
        return self.inputs(stage, **{'student': student.size, **student.digested(), **digests, **own})

    def started(self, initial: Path | None, size: str | None = None) -> StudentNetwork:
        """A network with the first weights that recipe and seed give, and over them those of ``initial``.

        Args:
            initial: a checkpoint.
            size: instead of the student's.

        Raises:
            TrainingError: weights are missing or of another network.
        """
        section = self.recipe.sized(size).model_copy(update={'initial': initial})
        return start_student(section, self.contract, self.recipe.seed)

    def train(
        self,
        task: Task,
        stage: StageSection,
        plain: Recipe,
        sources: Sequence[Source],
        folder: Path,
        strong: StrongViews | None = None,
        judge: Callable[[StudentNetwork], dict[str, float]] | None = None,
        mix: Callable[[Batch], Batch] | None = None,
    ) -> None:
        """Train in a folder, going on with what is there.

        Args:
            task: with its first weights.
            stage: with ``patience`` it stops early by what ``judge`` says.
            plain: the plain recipe of the stage, which its checkpoints carry.
            sources: pictures with true labels first.
            folder: of the run.
            strong: also make strong views of this kind.
            judge: of the averaged student, for early stopping alone.
            mix: changes each whole batch.
        """
        (phase,) = plain.phases
        rules = view_rules(phase, plain.depth, plain.augmentation, self.contract.thing_ids)

        def stream(first: int) -> Iterator[Batch]:
            made = batches(sources, rules, plain.seed, first, phase.steps, plain.run.workers, strong)
            return made if mix is None else map(mix, made)

        stop = None if stage.patience is None else EarlyStop('ap', stage.patience, JUDGED_TOGETHER)
        train(
            task,
            plain.plan,
            stream,
            folder,
            judge if stop else None,
            resume=True,
            identity=plain.model_dump(mode='json'),
            early_stop=stop,
            note=' and '.join(f'{len(source.samples)} pictures' for source in sources),
        )

    def judged(self, folder: Path) -> dict[str, Any]:
        """The result of a stage that trained a student: its size, its figures, and how long it learned."""
        network = load_student(weights_in(folder), self._root)[0].network
        return self.result(TorchStudent(network, self.contract), millions(network), folder)

    def result(self, predictor: Predictor, params_m: float, folder: Path) -> dict[str, Any]:
        """The same of anything that predicts, trained in ``folder`` or not at all."""
        return {'params_m': params_m, 'metrics': self.figures(predictor), 'train_seconds': seconds_in(folder)}

    def figures(self, predictor: Predictor) -> dict[str, float]:
        """How good it is by the validation pictures, as tables show it."""
        raise NotImplementedError


def asked_for(section: SectionT | None, name: str) -> SectionT:
    """The section of a stage that not every recipe has.

    Raises:
        RecipeError: this one has not.
    """
    if section is None:
        raise RecipeError(f'the recipe has no stages.{name}; add that section to run this baseline')
    return section


def score(predictor: Predictor, pictures: Pictures) -> dict[str, float]:
    """The headline figures by the validation pictures."""
    return headline(evaluate(predictor, pictures.validation))
