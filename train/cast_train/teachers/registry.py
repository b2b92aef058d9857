# SPDX-License-Identifier: Apache-2.0
"""The teachers that can be opened from files: a closed table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cast_ros.student import ClassInfo
from cast_train.engine.recipe_file import parse
from cast_train.errors import TeacherError
from cast_train.settings import Settings
from cast_train.teachers.composite import CompositeSettings, CompositeTeacher
from cast_train.teachers.network import NetworkSettings, NetworkTeacher
from cast_train.teachers.network_roles import NetworkDepth, NetworkSegments, NetworkSegmentsSettings
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


class _NetworkSegments:
    def settings(self) -> type[Settings]:
        return NetworkSegmentsSettings

    def open(self, settings: NetworkSegmentsSettings, classes: Sequence[ClassInfo]) -> Teacher:
        return NetworkSegments.open(settings)


class _NetworkDepth:
    def settings(self) -> type[Settings]:
        return NetworkSettings

    def open(self, settings: NetworkSettings, classes: Sequence[ClassInfo]) -> Teacher:
        return NetworkDepth.open(settings)


class _SamRefiner:
    """Imported when it is asked for, as ``_GroundedSam2`` is."""

    def settings(self) -> type[Settings]:
        from cast_train.teachers.sam_refiner import SamRefinerSettings

        return SamRefinerSettings

    def open(self, settings: Any, classes: Sequence[ClassInfo]) -> Teacher:
        from cast_train.teachers.sam_refiner import SamRefiner

        return SamRefiner(settings)


class _DepthAnything:
    """Imported when it is asked for, as ``_GroundedSam2`` is."""

    def settings(self) -> type[Settings]:
        from cast_train.teachers.depth_anything import DepthAnythingSettings

        return DepthAnythingSettings

    def open(self, settings: Any, classes: Sequence[ClassInfo]) -> Teacher:
        from cast_train.teachers.depth_anything import DepthAnything

        return DepthAnything(settings)


# Those that give class-agnostic masks, and those that give depth alone; no class of theirs has to fit.
SEGMENT_TEACHERS: dict[str, Kind] = {'network_segments': _NetworkSegments(), 'sam_refiner': _SamRefiner()}
DEPTH_TEACHERS: dict[str, Kind] = {'network_depth': _NetworkDepth(), 'depth_anything': _DepthAnything()}
TEACHERS: dict[str, Kind] = {
    'composite': _Composite(),
    'grounded_sam2': _GroundedSam2(),
    'network': _Network(),
    **SEGMENT_TEACHERS,
    **DEPTH_TEACHERS,
}


def open_teacher(
    name: str, settings: dict[str, Any], classes: Sequence[ClassInfo], kinds: dict[str, Kind] = TEACHERS
) -> Teacher:
    """Open a teacher by its name.

    Args:
        name: a key of ``kinds``.
        settings: keys of its settings class.
        classes: of the data set that it is to label.
        kinds: the teachers that will do.

    Raises:
        TeacherError: the name is unknown, a file is missing, or the teacher knows other classes.
        RecipeError: a setting is unknown or out of range.
    """
    if name not in kinds:
        raise TeacherError(f'unknown teacher {name!r}; known are {", ".join(sorted(kinds))}')
    try:
        model = kinds[name].settings()
    except ImportError as error:
        raise TeacherError(
            f'teacher {name}: {error}; install the extra that brings it (see docs/teachers.md)'
        ) from error
    parsed = parse(model, settings, f'teacher {name}')
    return kinds[name].open(parsed, classes)


def _require_classes(source: str, known: tuple[str, ...], classes: Sequence[ClassInfo]) -> None:
    wanted = tuple(entry.name for entry in classes)
    if known != wanted:
        raise TeacherError(
            f'{source}: knows {", ".join(known)}; the pictures need {", ".join(wanted)}: '
            'take a teacher of the same data set'
        )
