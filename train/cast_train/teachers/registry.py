# SPDX-License-Identifier: Apache-2.0
"""The teachers that can be opened from files: a closed table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cast_ros.student import ClassInfo
from cast_train.engine.recipe_file import parse
from cast_train.errors import TeacherError
from cast_train.settings import Settings
from cast_train.teachers.composite import CompositeSettings, CompositeTeacher
from cast_train.teachers.network import NetworkSettings, NetworkTeacher
from cast_train.teachers.network_roles import NetworkDepth, NetworkSegments, NetworkSegmentsSettings
from cast_train.teachers.teacher import Teacher


class Kind(NamedTuple):
    """One kind of teacher: the class of its settings, and what opens it for the classes of a data set."""

    settings: type[Settings]
    open: Callable[[Any, Sequence[ClassInfo]], Teacher]


def _network() -> Kind:
    def opened(settings: NetworkSettings, classes: Sequence[ClassInfo]) -> Teacher:
        teacher = NetworkTeacher.open(settings)
        _require_classes(str(settings.checkpoint), teacher.contract.class_names, classes)
        return teacher

    return Kind(NetworkSettings, opened)


def _composite() -> Kind:
    def opened(settings: CompositeSettings, classes: Sequence[ClassInfo]) -> Teacher:
        teacher = CompositeTeacher.open(settings)
        _require_classes(str(settings.detector), teacher.contract.class_names, classes)
        return teacher

    return Kind(CompositeSettings, opened)


# The libraries of some are an extra, and slow to load: they are imported when they are asked for.


def _grounded_sam2() -> Kind:
    from cast_train.teachers.grounded_sam2 import GroundedSam2, GroundedSam2Settings

    return Kind(GroundedSam2Settings, GroundedSam2)


def _sam_refiner() -> Kind:
    from cast_train.teachers.sam_refiner import SamRefiner, SamRefinerSettings

    return Kind(SamRefinerSettings, lambda settings, _: SamRefiner(settings))


def _depth_anything() -> Kind:
    from cast_train.teachers.depth_anything import DepthAnything, DepthAnythingSettings

    return Kind(DepthAnythingSettings, lambda settings, _: DepthAnything(settings))


Kinds = dict[str, Callable[[], Kind]]
# Those that give class-agnostic masks, and those that give depth alone; no class of theirs has to fit.
SEGMENT_TEACHERS: Kinds = {
    'network_segments': lambda: Kind(NetworkSegmentsSettings, lambda settings, _: NetworkSegments.open(settings)),
    'sam_refiner': _sam_refiner,
}
DEPTH_TEACHERS: Kinds = {
    'network_depth': lambda: Kind(NetworkSettings, lambda settings, _: NetworkDepth.open(settings)),
    'depth_anything': _depth_anything,
}
TEACHERS: Kinds = {
    'composite': _composite,
    'grounded_sam2': _grounded_sam2,
    'network': _network,
    **SEGMENT_TEACHERS,
    **DEPTH_TEACHERS,
}


def open_teacher(name: str, settings: dict[str, Any], classes: Sequence[ClassInfo], kinds: Kinds = TEACHERS) -> Teacher:
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
        kind = kinds[name]()
    except ImportError as error:
        raise TeacherError(
            f'teacher {name}: {error}; install the extra that brings it (see docs/teachers.md)'
        ) from error
    return kind.open(parse(kind.settings, settings, f'teacher {name}'), classes)


def _require_classes(source: str, known: tuple[str, ...], classes: Sequence[ClassInfo]) -> None:
    wanted = tuple(entry.name for entry in classes)
    if known != wanted:
        raise TeacherError(
            f'{source}: knows {", ".join(known)}; the pictures need {", ".join(wanted)}: '
            'take a teacher of the same data set'
        )
