# SPDX-License-Identifier: Apache-2.0
"""IDD-Lite: Indian streets with seven coarse classes, as published or flattened into folders of one kind of file.

leftImg8bit/SPLIT/DRIVE/NAME_image.jpg     gtFine/SPLIT/DRIVE/NAME_label.png       published; SPLIT is train or val
images/DRIVE_NAME.jpg                      labels/DRIVE_NAME.png                   flat; splits below

A label is uint8, an index of ``CLASSES``, or 255. The flat form has no split of its own: ``train`` and ``val`` part its
labelled drives, always alike, ``all`` is both, and ``unlabelled`` is the pictures without a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data.folders import list_pictures, read_label, read_rgb, refuse_domain
from cast_train.data.sample import Sample
from cast_train.data.splits import part_of
from cast_train.errors import DataError

TREE = 'the root must hold leftImg8bit/ and gtFine/ as IDD-Lite unpacks, or images/ and labels/'
PICTURE_SUFFIX, LABEL_SUFFIX = '_image.jpg', '_label.png'
VAL_SHARE = 0.15
CLASSES = tuple(
    ClassInfo(id=index, name=name, is_thing=False, color=color)
    for index, (name, color) in enumerate(
        (
            ('drivable', (128, 64, 128)),
            ('non-drivable', (244, 35, 232)),
            ('living things', (220, 20, 60)),
            ('vehicles', (0, 0, 142)),
            ('roadside objects', (153, 153, 153)),
            ('far objects', (70, 70, 70)),
            ('sky', (70, 130, 180)),
        )
    )
)


class IddLite:
    """Pictures of one split.

    Args:
        root: folder of one of the layouts above.
        split: ``train`` or ``val``; of the flat layout also ``all`` and ``unlabelled``.
        domain: must be empty.

    Raises:
        DataError: a folder or file is missing, has the wrong shape or number of bits, or holds an unknown label.
    """

    classes = CLASSES

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        refuse_domain('idd_lite', domain)
        flat = (root / 'images').is_dir()
        self._files = _flat(root, split) if flat else _published(root, split)

    @property
    def names(self) -> Sequence[str]:
        """``DRIVE_NAME`` of each picture."""
        return [name for name, _, _ in self._files]

    @property
    def scenes(self) -> Sequence[str]:
        """The drive of each picture."""
        return [_drive_of(name) for name, _, _ in self._files]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        name, picture, path = self._files[index]
        image = read_rgb(picture)
        if path is None:
            return Sample(name, image)
        semantic = read_label(path, image.shape[:2], np.uint8)
        wrong = semantic[(semantic >= len(CLASSES)) & (semantic != UNLABELLED)]
        if wrong.size:
            raise DataError(
                f'{path}: holds label {wrong[0]}, IDD-Lite has 0 to {len(CLASSES) - 1} and {UNLABELLED}; take the '
                'level-1 labels of IDD-Lite, not those of the full IDD'
            )
        return Sample(name, image, semantic=semantic)


def _published(root: Path, split: str) -> list[tuple[str, Path, Path | None]]:
    folder = root / 'leftImg8bit' / split
    if not folder.is_dir():
        raise DataError(f'{folder}: no such folder; {TREE}')
    found: list[tuple[str, Path, Path | None]] = []
    for picture in sorted(folder.glob(f'*/*{PICTURE_SUFFIX}')):
        drive, stem = picture.parent.name, picture.name.removesuffix(PICTURE_SUFFIX)
        path = root / 'gtFine' / split / drive / f'{stem}{LABEL_SUFFIX}'
        if not path.is_file():
            raise DataError(f'{path}: no such file; unpack the labels completely, or remove {picture.name}')
        found.append((f'{drive}_{stem}', picture, path))
    if not found:
        raise DataError(f'{folder}: no file in a folder there ends in {PICTURE_SUFFIX}; {TREE}')
    return found


def _flat(root: Path, split: str) -> list[tuple[str, Path, Path | None]]:
    pictures = list_pictures(root / 'images', '.jpg', TREE)
    labels = {path.stem: path for path in list_pictures(root / 'labels', '.png', TREE)}
    alone = sorted(labels.keys() - {picture.stem for picture in pictures})
    if alone:
        raise DataError(f'{labels[alone[0]]}: has no picture in {root / "images"}; fetch it, or remove the label')
    for picture in pictures:
        if '_' not in picture.stem:
            raise DataError(f'{picture}: a name must be DRIVE_FRAME, since drives decide the split; rename it')
    if split == 'unlabelled':
        found: list[tuple[str, Path, Path | None]] = [
            (picture.stem, picture, None) for picture in pictures if picture.stem not in labels
        ]
        if not found:
            raise DataError(f'{root / "images"}: every picture has a label; take the split train, val or all')
        return found
    labelled = [picture for picture in pictures if picture.stem in labels]
    chosen = part_of([_drive_of(picture.stem) for picture in labelled], split, VAL_SHARE)
    return [(labelled[index].stem, labelled[index], labels[labelled[index].stem]) for index in chosen]


def _drive_of(name: str) -> str:
    return name.split('_')[0]
