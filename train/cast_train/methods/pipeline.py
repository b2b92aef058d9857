# SPDX-License-Identifier: Apache-2.0
"""What a method gives so that its recipes can be run, validated and put into tables; and a run in stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cast_ros.files import write_text
from cast_train.engine.fitting import fit
from cast_train.engine.recipe import Recipe
from cast_train.engine.trained import weights_in
from cast_train.engine.validation import Finding, check_data, check_recipe
from cast_train.errors import TrainingError
from cast_train.export.revision import git_revision
from cast_train.export.run import export_run
from cast_train.methods.stages import Stages, StoredStage, digest_of, digest_of_file
from cast_train.teachers.promptable import fit_promptable

MANIFEST = 'manifest.json'

Say = Callable[[str], None]


class Run(Protocol):
    """Does all that a recipe says."""

    def __call__(self, recipe: Any, folder: Path, store: Path | None, resume: bool, say: Say) -> str:
        """Return what to tell the user.

        Args:
            recipe: of the method's kind.
            folder: gets everything that is made.
            store: of finished stages, which several runs may share; None is ``folder``/stages.
            resume: go on with the run that ``folder`` holds; without, such a folder is refused.
            say: told what happens.
        """


@dataclass(frozen=True)
class Method:
    """A method, as its wing offers it to ``methods.registry``.

    Attributes:
        check: opens what the recipe names and says what it found; raises ``CastError`` for what would stop a run.
        run: does all of it. A ``Staged`` has stages that can be rows of a table; None has a verb of its own, because a
            recipe alone does not say enough.
        shares_work: whether the processes of torchrun may work on it together.
    """

    check: Callable[[Any], list[Finding]]
    run: Run | None
    shares_work: bool = False


class Told(NamedTuple):
    """What a run in stages says of itself.

    Attributes:
        first: a line before it starts.
        method: provenance of the student.
        now: the student's plain recipe, as it reads now.
        data: for the manifest.
    """

    first: str
    method: dict[str, str]
    now: Recipe
    data: dict[str, Any]


@dataclass(frozen=True)
class Staged:
    """A method in stages that are done once: all of them for a run, any of them for the cell of a table.

    Attributes:
        read: the pictures that a recipe names.
        identity: of these pictures: rows of a table with the same one share them.
        make: one recipe at one seed, with stages as methods.
        stages: name to stage.
        last: the one whose student a run exports.
        tell: about what ``make`` returned.
    """

    read: Callable[[Any], Any]
    identity: Callable[[Any], str]
    make: Callable[[Any, Stages, Any], Any]
    stages: Mapping[str, Callable[[Any], StoredStage]]
    last: str
    tell: Callable[[Any], Told]

    def __call__(self, recipe: Any, folder: Path, store: Path | None, resume: bool, say: Say) -> str:
        """Run every stage that is not in the store yet, export the student, and say where it is.

        Raises:
            TrainingError: the folder holds a run and ``resume`` is off, a stage diverged, or the network lost accuracy
                when it was exported.
            DataError: the data set is not as expected.
            TeacherError: a teacher cannot be loaded, or its labels collapsed.
            StageBusyError: another process works in the same store on the same stage.
        """
        own = folder / 'stages'
        if not resume and (own.exists() or (folder / MANIFEST).exists()):
            raise TrainingError(
                f'{folder}: this folder already holds a run; go on with --resume, or choose another --out'
            )
        student = self.student(recipe, folder, store or own, say)
        return f'{student}: look at it with `cast inspect {student}`; what made it stands in {folder / MANIFEST}'

    def student(self, recipe: Any, folder: Path, store: Path, say: Say) -> Path:
        """The ONNX file of the last stage's student, with its card and a manifest of what went in beside it."""
        made = self.make(recipe, Stages(store, say), self.read(recipe))
        told = self.tell(made)
        say(told.first)
        last = self.stages[self.last](made)
        student = folder / f'{recipe.name}.onnx'
        folder.mkdir(parents=True, exist_ok=True)
        say(export_run(weights_in(last.folder), student, provenance=told.method, now=told.now).summary)
        document = {
            'recipe': recipe.model_dump(mode='json'),
            'recipe_sha256': digest_of(recipe.model_dump(mode='json')),
            **told.data,
            'git_revision': git_revision(),
            'stages': [_entry(stage) for stage in made.stages.used],
            'student': student.name,
            'student_sha256': digest_of_file(student),
        }
        write_text(folder / MANIFEST, json.dumps(document, indent=1))
        return student


def in_one_go(work: Callable[[Any, Path, bool, Say], str]) -> Run:
    """The run of a method without stages."""

    def run(recipe: Any, folder: Path, store: Path | None, resume: bool, say: Say) -> str:
        if store is not None:
            raise TrainingError(f'--store is for finished stages, and a recipe of method {recipe.method} has none')
        return work(recipe, folder, resume, say)

    return run


def in_words(figures: dict[str, float]) -> str:
    """A line of figures."""
    return '  '.join(f'{name} {value:.4f}' for name, value in figures.items())


def _entry(stage: StoredStage) -> dict[str, Any]:
    weights = weights_in(stage.folder)
    return {
        'name': stage.name,
        'digest': stage.digest,
        'folder': stage.folder.name,
        'checkpoint_sha256': digest_of_file(weights) if weights.is_file() else None,
        **stage.result,
    }


# The methods that are one training, of a recipe alone.
SUPERVISED = Method(
    check=check_recipe,
    run=in_one_go(lambda recipe, folder, resume, _: in_words(fit(recipe, folder, resume))),
    shares_work=True,
)
MASKS = Method(
    check=lambda recipe: check_data(recipe.data)[1],
    run=in_one_go(lambda recipe, folder, resume, _: in_words(fit_promptable(recipe, folder, resume))),
)
