# SPDX-License-Identifier: Apache-2.0
"""Labelling many pictures, by any number of processes on any number of machines.

Each process takes every n-th picture and never waits for another: what one leaves undone when it dies, the same command
finishes, with as many processes as then are there. The last one to finish adds up the reports that lie in its folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from cast_ros.student import ClassInfo
from cast_train.data import Changed, Sample
from cast_train.data.folders import read_rgb
from cast_train.errors import DataError, TeacherError
from cast_train.teachers.cache import LabelCache, write_whole
from cast_train.teachers.network import digest
from cast_train.teachers.report import CollapseRule, LabelReport
from cast_train.teachers.teacher import PseudoLabels, PseudoLabelSettings, Teacher, pseudo_sample

PICTURE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')

PSEUDO_LABELS, RULE = PseudoLabelSettings(), CollapseRule()

Say = Callable[[str], None]


class Pictures(Protocol):
    """Pictures that are read when they are needed; a data set is one, and so is a list of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


class PictureFolder:
    """All pictures below a folder, in the order of their paths.

    Args:
        folder: searched with its subfolders.
        fx_px: focal length of their camera in pixels, None if unknown.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """

    def __init__(self, folder: Path, fx_px: float | None) -> None:
        if not folder.is_dir():
            raise DataError(f'{folder}: no such folder; name one with pictures in it')
        self._folder, self._fx_px = folder, fx_px
        self._paths = sorted(path for path in folder.rglob('*') if path.suffix.lower() in PICTURE_SUFFIXES)
        if not self._paths:
            raise DataError(f'{folder}: no picture in it; known are {", ".join(PICTURE_SUFFIXES)}')

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Sample:
        path = self._paths[index]
        return Sample(str(path.relative_to(self._folder)), read_rgb(path), fx_px=self._fx_px)


@dataclass(frozen=True)
class Shard:
    """Which of ``world`` processes this is."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_environment(cls) -> Shard:
        """As ``torchrun`` says, or a shell that sets RANK and WORLD_SIZE; alone without them.

        Raises:
            TeacherError: they are not numbers, or do not fit together.
        """
        values = os.environ.get('RANK', '0'), os.environ.get('WORLD_SIZE', '1')
        if not all(value.isdecimal() for value in values) or not int(values[0]) < int(values[1]):
            raise TeacherError(f'RANK {values[0]!r} of WORLD_SIZE {values[1]!r}: ranks go from 0 to WORLD_SIZE − 1')
        return cls(int(values[0]), int(values[1]))

    def indices(self, count: int) -> range:
        """Those of ``count`` pictures that are this process's."""
        return range(self.rank, count, self.world)


@dataclass(frozen=True)
class LabelRun:
    """How pictures are labelled.

    Attributes:
        folder: the cache; shared between processes or each one's own.
        classes: for names in the report.
        score: detections from here on count in the report.
        rule: when to give up.
        batch: pictures that the teacher sees together.
        shard: which part is this process's.
        say: told about progress and damage.
    """

    folder: Path
    classes: Sequence[ClassInfo]
    score: float = PSEUDO_LABELS.score
    rule: CollapseRule = RULE
    batch: int = 2
    shard: Shard = Shard()
    say: Say = lambda _: None

    def label(self, teacher: Teacher, pictures: Pictures) -> LabelReport:
        """See that every picture of the shard has its labels on disk, and write the report.

        Returns:
            The report on this shard.

        Raises:
            TeacherError: the labels have collapsed, here or in all shards together, or cannot be written.
        """
        report = LabelReport(asked=len(self.shard.indices(len(pictures))))
        path = self._report_path(teacher, len(pictures), self.shard.rank)
        path.unlink(missing_ok=True)
        for answer in self.answers(teacher, pictures, report):
            report.add(answer, self.score)
            if report.labelled % 50 == 0:
                self.say(f'{report.labelled} of {report.asked} pictures, {report.computed} computed now')
            report.require_health(self.rule, self.classes)
        self._write(path, report, teacher)
        self._merge(teacher, len(pictures))
        return report

    def answers(self, teacher: Teacher, pictures: Pictures, report: LabelReport) -> Iterator[PseudoLabels]:
        """The labels of the shard's pictures in order, from the cache where it has them; counts in ``report``."""
        cache = LabelCache(self.folder, teacher.fingerprint)
        indices = iter(self.shard.indices(len(pictures)))
        while group := [pictures[index] for index in islice(indices, self.batch)]:
            keys = [cache.key(sample.image, sample.fx_px) for sample in group]
            found = {place: self._cached(cache, key, report) for place, key in enumerate(keys)}
            missing = [place for place, answer in found.items() if answer is None]
            fresh: list[PseudoLabels] = []
            if missing:
                fresh = teacher.label(
                    [group[place].image for place in missing], [group[place].fx_px for place in missing]
                )
            for place, answer in zip(missing, fresh, strict=True):
                found[place] = cache.store(keys[place], answer)
                report.computed += 1
            for known in found.values():
                assert known is not None
                yield known

    def _cached(self, cache: LabelCache, key: str, report: LabelReport) -> PseudoLabels | None:
        try:
            return cache.load(key)
        except TeacherError as error:
            report.damaged += 1
            self.say(f'{error}; computing it anew')
            return None

    def _report_path(self, teacher: Teacher, count: int, rank: int) -> Path:
        """Reports of another teacher or number of processes have other names, and are never added up with these."""
        job = digest(teacher.fingerprint, count, self.score)[:12]
        return self.folder / 'reports' / f'{job}-{rank}-of-{self.shard.world}.json'

    def _write(self, path: Path, report: LabelReport, teacher: Teacher) -> None:
        document = {'teacher': teacher.fingerprint, **report.as_document(self.classes, self.score)}
        write_whole(path, lambda file: file.write(json.dumps(document, indent=1).encode()), 'the report')

    def _merge(self, teacher: Teacher, count: int) -> None:
        """Add up the reports of all ranks if all lie here; whoever is last does it, so that nobody has to wait."""
        paths = [self._report_path(teacher, count, rank) for rank in range(self.shard.world)]
        try:
            sums = [json.loads(path.read_text())['sums'] for path in paths]
        except FileNotFoundError:
            return
        total = LabelReport.merged(map(LabelReport.from_sums, sums))
        self._write(self.folder / 'report.json', total, teacher)
        total.require_health(self.rule, self.classes)


def read_label(cache: LabelCache, sample: Sample) -> PseudoLabels:
    """The stored labels of a sample.

    Raises:
        TeacherError: there are none, or their file is damaged.
    """
    key = cache.key(sample.image, sample.fx_px)
    answer = cache.load(key)
    if answer is None:
        raise TeacherError(f'{cache.path(key)}: no labels of {sample.name} by this teacher; label the pictures first')
    return answer


def pseudo_labelled(
    samples: Sequence[Sample], folder: Path, fingerprint: str, settings: PseudoLabelSettings
) -> Sequence[Sample]:
    """Samples with a teacher's stored labels in place of their own, put together when they are asked for.

    Args:
        samples: whose pictures were labelled.
        folder: of the cache.
        fingerprint: of the teacher.
        settings: which detections count.
    """
    return Changed(samples, partial(_pseudo_labelled, LabelCache(folder, fingerprint), settings))


def _pseudo_labelled(cache: LabelCache, settings: PseudoLabelSettings, sample: Sample) -> Sample:
    return pseudo_sample(sample, read_label(cache, sample), settings)
