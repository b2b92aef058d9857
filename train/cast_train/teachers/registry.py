# SPDX-License-Identifier: Apache-2.0
"""The teachers that can be opened from files: a closed table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cast_ros.student import ClassInfo
from cast_train.engine.recipe import parse
from cast_train.errors import TeacherError
from cast_train.settings import Settings
from cast_train.teachers.composite import CompositeSettings, CompositeTeacher
from cast_train.teachers.network import NetworkSettings, NetworkTeacher
from cast_train.teachers.teacher import Teacher


class Kind(Protocol):
    """One kind of teacher."""

    def settings(self) -> type[Settings]:
        """The class of its settings."""

    def open(self, settings: Any, classes: Sequence[ClassInfo]) -> Teacher:
        """Open it for the classes of a data set."""


class _Network:
    def settings(self) -> type[Settings]:
        return NetworkSettings

    def open(self, settings: NetworkSettings, classes: Sequence[ClassInfo]) -> Teacher:
        teacher = NetworkTeacher.open(settings)
        _require_classes(str(settings.checkpoint), teacher.contract.class_names, classes)
        return teacher


class _Composite:
    def settings(self) -> type[Settings]:
        return CompositeSettings

    def open(self, settings: CompositeSettings, classes: Sequence[ClassInfo]) -> Teacher:
        teacher = CompositeTeacher.open(settings)
        _require_classes(str(settings.detector), teacher.contract.class_names, classes)
        return teacher


class _GroundedSam2:
    """Imported when it is asked for: its libraries are an extra, and slow to load."""

    def settings(self) -> type[Settings]:
        from cast_train.teachers.grounded_sam2 import GroundedSam2Settings

        return GroundedSam2Settings

    def open(self, settings: Any, classes: Sequence[ClassInfo]) -> Teacher:
        from cast_train.teachers.grounded_sam2 import GroundedSam2

        return GroundedSam2(settings, classes)


TEACHERS: dict[str, Kind] = {'composite': _Composite(), 'grounded_sam2': _GroundedSam2(), 'network': _Network()}


def open_teacher(name: str, settings: dict[str, Any], classes: Sequence[ClassInfo]) -> Teacher:
    """Open a teacher by its name.

    Args:
        name: a key of ``TEACHERS``.
        settings: keys of its settings class.
        classes: of the data set that it is to label.

    Raises:
        TeacherError: the name is unknown, a file is missing, or the teacher knows other classes.
        RecipeError: a setting is unknown or out of range.
    """
    if name not in TEACHERS:
        raise TeacherError(f'unknown teacher {name!r}; known are {", ".join(sorted(TEACHERS))}')
    try:
        model = TEACHERS[name].settings()
    except ImportError as error:
        raise TeacherError(
            f'teacher {name}: {error}; install the extra that brings it (see docs/teachers.md)'
        ) from error
    parsed = parse(model, settings, f'teacher {name}')
    return TEACHERS[name].open(parsed, classes)


def _require_classes(source: str, known: tuple[str, ...], classes: Sequence[ClassInfo]) -> None:
    wanted = tuple(entry.name for entry in classes)
    if known != wanted:
        raise TeacherError(
            f'{source}: knows {", ".join(known)}; the pictures need {", ".join(wanted)}: '
            'take a teacher of the same data set'
        )
