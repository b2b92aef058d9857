# SPDX-License-Identifier: Apache-2.0
"""Frames that `cast-train import-bag` took from bags: one import, or a folder of several.

frames.json                     which frames, their splits, scenes, cameras and classes
image/NAME.png or .jpg          the picture
instances/NAME.png (uint16)     number of a class, or number * 1000 + k for thing k of a class; where the bag had it
depth/NAME.png (uint16)         steps along the optical axis, as frames.json says; where the bag had it
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.offline.evaluation.ground_truth import InstanceParts, decode_depth, decode_instances
from cast_ros.student import ClassInfo
from cast_train.data.folders import read_label, read_rgb, require_files
from cast_train.data.frames_manifest import (
    LABEL_KINDS,
    MANIFEST,
    FrameEntry,
    LabelKind,
    Manifest,
    label_path,
    read_manifest,
)
from cast_train.data.sample import Sample
from cast_train.errors import DataError

TREE = 'the root must be the folder of an import, or hold such folders; make one with `cast-train import-bag`'


@dataclass(frozen=True)
class _Import:
    """One import; its scenes get the prefix, since two bags may have one name."""

    folder: Path
    manifest: Manifest
    prefix: str


class Frames:
    """Frames of one split and domain.

    Args:
        root: folder of an import, or of several; their classes must agree, and imports without any take them over.
        split: ``train`` or ``val``.
        domain: as named at the import; empty for all.

    Raises:
        DataError: a manifest or file is missing or broken, or nothing is of this split and domain.
    """

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        imports = _find(root)
        _refuse_repeated(root, imports)
        self._root, self._classes = root, _classes(imports)
        self._frames = [
            (one, frame)
            for one in imports
            if domain in ('', one.manifest.domain)
            for frame in one.manifest.frames
            if frame.split == split
        ]
        if not self._frames:
            known = Counter((frame.split, one.manifest.domain) for one in imports for frame in one.manifest.frames)
            listing = ', '.join(f'{count} of {name} {of}'.rstrip() for (name, of), count in sorted(known.items()))
            cure = '; import another recording beside it with --val 1' if split == 'val' else ''
            asked = f'{split} {domain}'.rstrip()
            raise DataError(f'{root}: no frame of {asked}; it has: {listing or "none at all"}{cure}')
        for one in imports:
            _require_all_files(one, [frame for owner, frame in self._frames if owner is one])

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Classes of the imports.

        Raises:
            DataError: no import has any.
        """
        if not self._classes:
            raise DataError(
                f'{self._root}: these frames have no classes; import the bag into a new folder with --classes DATASET, '
                'or the file of a student'
            )
        return self._classes

    @property
    def names(self) -> Sequence[str]:
        """BAG_STAMP of each picture."""
        return [frame.name for _, frame in self._frames]

    @property
    def scenes(self) -> Sequence[str]:
        """The time block of each picture."""
        return [one.prefix + frame.scene for one, frame in self._frames]

    @property
    def labelled(self) -> list[int]:
        """Which of the pictures have instances and class map; known without reading them."""
        return [place for place, (_, frame) in enumerate(self._frames) if frame.has('instances')]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        one, frame = self._frames[index]
        path = one.manifest.picture_path(one.folder, frame)
        image = read_rgb(path)
        shape = frame.height, frame.width
        if image.shape[:2] != shape:
            raise DataError(f'{path}: has shape {image.shape[:2]}, {MANIFEST} says {shape}; import the bag again')
        ids, labels, is_crowd, semantic = _instances(one, frame) or (None, None, None, None)
        camera = None if frame.camera is None else one.manifest.cameras[frame.camera]
        return Sample(
            frame.name,
            image,
            ids,
            labels,
            is_crowd,
            semantic,
            _depth(one, frame),
            None if camera is None else camera.fx_px,
            one.manifest.domain,
        )


def _instances(one: _Import, frame: FrameEntry) -> InstanceParts | None:
    table = one.manifest.labels
    if table is None or not frame.instances:
        return None
    things = table.thing_numbers(one.manifest.classes)
    return decode_instances(_label(one, frame, 'instances'), table.class_ids, things)


def _depth(one: _Import, frame: FrameEntry) -> npt.NDArray[np.float32] | None:
    table = one.manifest.labels
    return decode_depth(_label(one, frame, 'depth'), table.about) if table is not None and frame.depth else None


def _label(one: _Import, frame: FrameEntry, kind: LabelKind) -> npt.NDArray[Any]:
    return read_label(label_path(one.folder, kind, frame), (frame.height, frame.width), np.uint16)


def _find(root: Path) -> list[_Import]:
    if (root / MANIFEST).exists():
        return [_Import(root, read_manifest(root / MANIFEST), '')]
    folders = sorted(path.parent for path in root.glob(f'*/{MANIFEST}'))
    if not folders:
        raise DataError(f'{root}: no {MANIFEST} in it or one level below; {TREE}')
    return [_Import(folder, read_manifest(folder / MANIFEST), f'{folder.name}/') for folder in folders]


def _refuse_repeated(root: Path, imports: Sequence[_Import]) -> None:
    """One moment in two imports could be learned from in one and validate in the other."""
    bags = Counter(one.manifest.bag.fingerprint for one in imports)
    names = Counter(frame.name for one in imports for frame in one.manifest.frames)
    for one in imports:
        manifest = one.manifest
        if bags[manifest.bag.fingerprint] > 1 or any(names[frame.name] > 1 for frame in manifest.frames):
            raise DataError(f'{root}: more than one import has frames of {manifest.bag.name}; keep one of each bag')


def _classes(imports: Sequence[_Import]) -> tuple[ClassInfo, ...]:
    named = [one for one in imports if one.manifest.classes]
    for one in named[1:]:
        if one.manifest.classes != named[0].manifest.classes:
            raise DataError(
                f'{one.folder / MANIFEST} and {named[0].folder / MANIFEST} have different classes; '
                'import both with the same --classes, or keep them in different folders'
            )
    return named[0].manifest.classes if named else ()


def _require_all_files(one: _Import, frames: Sequence[FrameEntry]) -> None:
    pictures = [one.manifest.picture_path(one.folder, frame).name for frame in frames]
    if pictures:
        require_files(one.folder / 'image', pictures, TREE)
    for kind in LABEL_KINDS:
        names = [f'{frame.name}.png' for frame in frames if frame.has(kind)]
        if names:
            require_files(one.folder / kind, names, TREE)
