# SPDX-License-Identifier: Apache-2.0
"""The teachers that can be opened from files: a closed table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import Any, NamedTuple

from cast_ros.student import ClassInfo
from cast_train.engine.recipe_file import parse
from cast_train.errors import TeacherError
from cast_train.teachers.teacher import Teacher


class Kind(NamedTuple):
    """One kind of teacher, by names: the libraries of some are an extra, and slow to load.

    Attributes:
        settings: the class of its settings.
        opener: of such settings; and of the classes of the data set, if it asks for them.
        asks: whether it asks for the classes by their names.
        knows: the setting that names a network with classes of its own; they must be those of the data set.
    """

    settings: str
    opener: str
    asks: bool = False
    knows: str = ''


Kinds = Mapping[str, Kind]
# Those that give class-agnostic masks, and those that give depth alone; no class of theirs has to fit.
SEGMENT_TEACHERS: Kinds = {
    'network_segments': Kind('network_roles:NetworkSegmentsSettings', 'network_roles:NetworkSegments.open'),
    'sam_refiner': Kind('sam_refiner:SamRefinerSettings', 'sam_refiner:SamRefiner'),
}
DEPTH_TEACHERS: Kinds = {
    'network_depth': Kind('network:NetworkSettings', 'network_roles:NetworkDepth.open'),
    'depth_anything': Kind('depth_anything:DepthAnythingSettings', 'depth_anything:DepthAnything'),
}
TEACHERS: Kinds = {
    'composite': Kind('composite:CompositeSettings', 'composite:CompositeTeacher.open', knows='detector'),
    'grounded_sam2': Kind('grounded_sam2:GroundedSam2Settings', 'grounded_sam2:GroundedSam2', asks=True),
    'network': Kind('network:NetworkSettings', 'network:NetworkTeacher.open', knows='checkpoint'),
    'onnx_boxes': Kind('onnx_boxes:OnnxBoxesSettings', 'onnx_boxes:OnnxBoxes.open', asks=True),
    'onnx_semantic': Kind('onnx_semantic:OnnxSemanticSettings', 'onnx_semantic:OnnxSemantic', asks=True),
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
    kind = kinds[name]
    try:
        model, opener = (resolve_name(f'{__package__}.{what}') for what in (kind.settings, kind.opener))
    except ImportError as error:
        raise TeacherError(
            f'teacher {name}: {error}; install the extra that brings it (see docs/teachers.md)'
        ) from error
    checked = parse(model, settings, f'teacher {name}')
    teacher = opener(checked, classes) if kind.asks else opener(checked)
    if kind.knows:
        known, wanted = teacher.contract.class_names, tuple(entry.name for entry in classes)
        if known != wanted:
            raise TeacherError(
                f'{getattr(checked, kind.knows)}: knows {", ".join(known)}; the pictures need {", ".join(wanted)}: '
                'take a teacher of the same data set'
            )
    found: Teacher = teacher
    return found
