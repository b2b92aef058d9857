# SPDX-License-Identifier: Apache-2.0
"""From two recordings to a student that knows the second as well: import, adapt, export, judge, report, gate.

Whatever a kill interrupts goes on with the same command: imports file by file, stages at their last checkpoint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from cast_ros.files import write_text
from cast_ros.student import Student, StudentContract
from cast_train.data import LazySamples, Sample
from cast_train.data.bag_import import import_bag
from cast_train.data.frames import Frames
from cast_train.data.frames_manifest import MANIFEST as FRAMES
from cast_train.engine.checkpoint import save_checkpoint
from cast_train.engine.evaluate import Predictor
from cast_train.engine.recipe import StudentSection
from cast_train.engine.trained import load_student, weights_in
from cast_train.engine.validation import Finding
from cast_train.errors import DataError, TrainingError
from cast_train.export.recover import CALIBRATION_PICTURES, recover_student
from cast_train.export.revision import git_revision
from cast_train.export.run import export_run
from cast_train.methods.famda.stages import Domains, Famda, check_teachers
from cast_train.methods.night.judging import WHEN, Judged, judge, judge_pseudo_labels, losing_classes
from cast_train.methods.night.recipe import SOURCE, TARGET, GateSection, ImportSection, NightRecipe
from cast_train.methods.night.report import losing_text, write_report
from cast_train.methods.pipeline import Method
from cast_train.methods.stages import Stages, digest_of_file

METRICS, REPORT, START = 'metrics.json', 'report.html', 'start.pt'
# The figures that the gate looks at, and tables show first.
GATED = ('ap', 'miou')


@dataclass(frozen=True, eq=False)
class Night:
    """What came of it.

    Attributes:
        student: the exported file.
        report: for people.
        losses: by how many points each gated figure of the source fell, negative where it rose; those that could be
            measured.
        passed: whether there are any, and none fell by more than the recipe allows.
        losing_classes: by domain, the classes whose IoU fell by more points than their mean may.
    """

    student: Path
    report: Path
    losses: dict[str, float]
    passed: bool
    losing_classes: dict[str, dict[str, float]]

    @property
    def summary(self) -> str:
        """A line for people, and one more if classes lose."""
        changes = ', '.join(f'{name} {-loss:+.2f} points' for name, loss in self.losses.items())
        unknown = ''.join(f', {name} not measured' for name in GATED if name not in self.losses)
        verdict = f'gate {"passed" if self.passed else "FAILED"}: by {SOURCE} {changes}{unknown}; see {self.report}'
        losing = losing_text(self.losing_classes)
        return f'{verdict}\n{losing}' if losing else verdict


def run_night(recipe: NightRecipe, source: Path, target: Path, student: Path, folder: Path, console: Console) -> Night:
    """Do all that is not done yet.

    Args:
        recipe: how.
        source: bag with ground truth, or folder of `cast-train import-bag`.
        target: the same without ground truth; where it has some, it only judges.
        student: an exported student, a run folder or a checkpoint.
        folder: gets everything.
        console: for progress.

    Raises:
        DataError: a recording has no usable frames, or the source no labels.
        BagError, StudentError, TrainingError, TeacherError, ExportError, RecipeError: see what they say.
    """

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    folder.mkdir(parents=True, exist_ok=True)
    given = Given.open(student)
    day, night = (
        _frames(path, folder / name, name, recipe.imports, given.predictor.contract, console)
        for name, path in ((SOURCE, source), (TARGET, target))
    )
    learned = _labelled(source, day, 'train', say)
    _labelled(source, day, 'val', say)
    settings = recipe.famda(given.start(learned, folder), given.predictor.contract, day, night)
    famda = Famda(settings, Stages(folder / 'stages', say), Domains(settings))
    adapted = famda.adapted()
    model = folder / f'{recipe.name}.onnx'
    method = {'method': 'FAMDA, reconstructed', 'source': source.name, 'target': target.name, 'start': student.name}
    now = settings.of_stage(settings.stages.adaptation)
    say(export_run(weights_in(adapted.folder), model, provenance=method, now=now).summary)
    judged = _judged(given.predictor, model, famda.domains)
    gate = _gate(judged, recipe.gate)
    document = {
        'name': recipe.name,
        'figures': {name: {when: judged[when, name].figures for when in WHEN} for name in (SOURCE, TARGET)},
        'pictures': {name: len(judged['after', name].pictures) for name in (SOURCE, TARGET)},
        'pseudo_labels': asdict(judge_pseudo_labels(famda, adapted)),
        'gate': gate,
        'student': {'file': model.name, 'sha256': digest_of_file(model)},
        'start': {'file': student.name, 'sha256': digest_of_file(student) if student.is_file() else None},
        'git_revision': git_revision(),
        'recipe': settings.model_dump(mode='json'),
    }
    write_text(folder / METRICS, json.dumps(document, indent=1))
    write_report(folder / REPORT, document, judged, given.predictor.contract)
    return Night(model, folder / REPORT, gate['lost_points'], gate['passed'], gate['losing_classes'])


def _gate(judged: Judged, allowed: GateSection) -> dict[str, Any]:
    """Whether the new student may take the place of the old one, and what speaks against it."""
    losses = lost_points(judged['before', SOURCE].figures, judged['after', SOURCE].figures)
    losing = {
        name: losing_classes(judged['before', name], judged['after', name], allowed.miou) for name in (SOURCE, TARGET)
    }
    return {
        'allowed_points': allowed.model_dump(),
        'lost_points': losses,
        'passed': passes(losses, allowed),
        'losing_classes': losing,
    }


def lost_points(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """By how many points each gated figure fell; not a number where only the student before has it."""
    return {name: 100 * (before[name] - after.get(name, math.nan)) for name in GATED if name in before}


def passes(losses: dict[str, float], gate: GateSection) -> bool:
    """Whether something was measured and fell by no more points than allowed; what is no number passes nothing."""
    return bool(losses) and all(loss <= getattr(gate, name) for name, loss in losses.items())


class Given(NamedTuple):
    """The student as it was given: a file, and how it predicts; of a run or checkpoint also what it is made of."""

    student: Path
    predictor: Predictor
    section: StudentSection | None

    @classmethod
    def open(cls, student: Path) -> Given:
        """Open an exported student, a run folder or a checkpoint.

        Raises:
            StudentError, TrainingError: it is none of these.
        """
        if student.suffix == '.onnx':
            return cls(student, Student.load(student), None)
        found, recipe, _ = load_student(student)
        weights = weights_in(student) if student.is_dir() else student
        section = recipe.student.model_copy(update={'initial': weights, 'backbone_weights': None})
        return cls(student, found, section)

    def start(self, pictures: Sequence[Sample], folder: Path) -> StudentSection:
        """What it is made of, and in that a checkpoint to learn on from; an exported one is recovered into ``folder``.

        Raises:
            TrainingError, ExportError: it cannot be recovered.
        """
        if self.section is not None:
            return self.section
        checkpoint = folder / f'{digest_of_file(self.student)[:12]}-{START}'
        network, contract = recover_student(self.student, pictures[:CALIBRATION_PICTURES])
        if not isinstance(network.size, str):
            raise TrainingError(
                f'{self.student}: is of no size that a recipe can name; start from the checkpoint of its run'
            )
        if not checkpoint.is_file():
            made_of = {'recovered_from': self.student.name, 'contract': contract.model_dump(mode='json')}
            save_checkpoint({'recipe': made_of, 'ema': network.state_dict()}, checkpoint)
        return StudentSection(size=network.size, initial=checkpoint)


def _frames(
    path: Path, out: Path, name: str, imports: ImportSection, contract: StudentContract, console: Console
) -> Path:
    """The folder of frames of a recording, in the classes of the student: as it is, or imported now."""
    if (path / FRAMES).is_file() or any(path.glob(f'*/{FRAMES}')):
        _require_same_classes(path, contract)
        return path
    if not path.exists():
        raise DataError(f'{path}: no such bag or folder of frames; name what was recorded')
    report = import_bag(path, out, imports.settings(name, contract.classes), console)
    console.print(f'{name}: {report.summary()}', markup=False, highlight=False)
    return out


def _require_same_classes(root: Path, contract: StudentContract) -> None:
    """Raise ``DataError`` unless the frames' classes are the student's, things included: ids would mean others."""
    wanted = [(entry.name, entry.is_thing) for entry in contract.classes]
    found = [(entry.name, entry.is_thing) for entry in Frames(root, 'train').classes]
    if found != wanted:
        one, other = next(pair for pair in zip_longest(wanted, found, fillvalue='nothing') if pair[0] != pair[1])
        raise DataError(
            f'{root}: its classes are not those of the student ({other} instead of {one}); name the bag itself, or '
            'import it with --classes and the file of the student'
        )


def _labelled(recording: Path, root: Path, split: str, say: Callable[[str], None]) -> Sequence[Sample]:
    """The source's frames of a split that have labels; the others are named and left out.

    Raises:
        DataError: none has.
    """
    frames = Frames(root, split)
    if not frames.labelled:
        raise DataError(
            f'{recording}: has no labels to {"learn from" if split == "train" else "judge by, in its val frames"}; '
            'record ground truth, or name another --source'
        )
    without = len(frames) - len(frames.labelled)
    if without:
        say(f'{recording.name}: {without} of {len(frames)} {split} frames have no labels')
    return LazySamples([frames], frames.labelled)


def _judged(before: Predictor, model: Path, domains: Domains) -> Judged:
    """The student before and after, on both domains."""
    with Student.load(model) as after:
        return {
            (when, name): judge(predictor, pictures.validation)
            for when, predictor in zip(WHEN, (before, after), strict=True)
            for name, pictures in ((SOURCE, domains.source), (TARGET, domains.target))
        }


def _check(recipe: NightRecipe) -> list[Finding]:
    """Its pictures and its student come with the command line; what is left is its teachers, and how long it learns."""
    stages = {'source': recipe.stages.source, 'adaptation': recipe.stages.adaptation}
    return [
        *check_teachers(recipe.segments, recipe.depth_teacher),
        *(
            Finding(name, f'{stage.steps} steps of {stage.labelled} + {stage.unlabelled} pictures')
            for name, stage in stages.items()
        ),
    ]


METHOD = Method(_check, run=None)
