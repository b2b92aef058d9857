# SPDX-License-Identifier: Apache-2.0
"""A student in a replay, and everything that is noted of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cast_ros.offline.replay.frames import PictureBag
from cast_ros.offline.replay.judge import Judge
from cast_ros.student import LoadOptions, Student, StudentContract


@dataclass(frozen=True, eq=False)
class Contestant:
    """One student.

    Attributes:
        name: its contract's, or another if two have the same.
        topic: its name as ROS allows it in a topic; no other has the same.
        student: loaded.
        judge: what is noted of it.
    """

    name: str
    topic: str
    student: Student
    judge: Judge

    @property
    def contract(self) -> StudentContract:
        """What the student promises."""
        return self.student.contract

    def document(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            'name': self.name,
            'file': self.student.path.name,
            'version': self.contract.version,
            'sha256': self.student.sha256,
            'provider': self.student.provider,
            'input': [self.contract.input.height, self.contract.input.width],
            **self.judge.compute(),
        }


def make_contestants(
    models: Sequence[Path],
    bag: PictureBag,
    options: LoadOptions,
    stack: ExitStack,
    tracking: bool = False,
) -> list[Contestant]:
    """Load the students; the stack closes them.

    Raises:
        StudentError: one cannot be used.
        TrackingError: tracking is asked for and not installed.
    """
    found: list[Contestant] = []
    for path in models:
        student = stack.enter_context(Student.load(path, options))
        name = _new_name(student, {one.name for one in found})
        topic = _new_topic(name, {one.topic for one in found})
        found.append(Contestant(name, topic, student, Judge(student, bag.label_key(student.contract), tracking)))
    return found


def _new_name(student: Student, taken: set[str]) -> str:
    """The contract's name; students of one name get those of their files, or numbers."""
    for name in (student.contract.name, student.path.stem):
        if name not in taken:
            return name
    return next(name for number in range(2, len(taken) + 3) if (name := f'{student.path.stem} {number}') not in taken)


def _new_topic(name: str, taken: set[str]) -> str:
    word = ''.join(letter if letter.isascii() and letter.isalnum() else '_' for letter in name)
    word = word if word[:1].isalpha() else f'student_{word}'
    numbered = (word, *(f'{word}_{number}' for number in range(2, len(taken) + 3)))
    return next(topic for topic in numbered if topic not in taken)
