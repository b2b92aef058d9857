# SPDX-License-Identifier: Apache-2.0
"""Whether an 8-bit student loses little enough against the float file that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cast_ros.student import Student as RuntimeStudent
from cast_train.data import Sample
from cast_train.engine.evaluate import evaluate, headline
from cast_train.errors import ExportError

# A file must lose less than this of AP (of mIoU without instances), as a fraction of 1.
LARGEST_FALL = 0.005


@dataclass(frozen=True)
class Labelled:
    """Pictures with labels that judge the file.

    Attributes:
        samples: at least one.
        source: where they come from, in words.
    """

    samples: Sequence[Sample]
    source: str


@dataclass(frozen=True)
class Judgement:
    """Figures of the float file and of the 8-bit file on the same pictures, as ``headline`` names them."""

    source: str
    pictures: int
    before: dict[str, float]
    after: dict[str, float]

    @property
    def figure(self) -> str:
        """The one that decides: ap; or miou for a student without instances, or one that finds none even in float.

        Raises:
            ExportError: neither says anything.
        """
        for name in ('ap', 'miou'):
            if self.before.get(name, 0.0) > 0 and name in self.after:
                return name
        raise ExportError(
            f'{self.source}: AP and mIoU of the float file are zero or were not measured, so nothing can be judged on '
            'it; name a split with labels that the student knows'
        )

    @property
    def fall(self) -> float:
        """How much of that figure is lost, fraction of 1."""
        return self.before[self.figure] - self.after[self.figure]

    @property
    def holds(self) -> bool:
        """Whether that is little enough."""
        return self.fall < LARGEST_FALL

    @property
    def rows(self) -> list[tuple[str, float, float]]:
        """Name, float and int8 of each figure that both have."""
        return [(name, value, self.after[name]) for name, value in self.before.items() if name in self.after]


def judge(before: Path, after: Path, labelled: Labelled) -> Judgement:
    """Measure two files on the same pictures."""
    figures = []
    for path in (before, after):
        with RuntimeStudent.load(path) as student:
            figures.append(headline(evaluate(student, labelled.samples)))
    return Judgement(labelled.source, len(labelled.samples), *figures)
