# SPDX-License-Identifier: Apache-2.0
"""A plain folder of pictures, with or without class maps beside them.

images/NAME.jpg (or .png)   or the pictures right in the root
labels/NAME.png             optional, uint8, 255 unlabelled; labels/classes.txt names the classes, one a line from 0 on
pseudo/NAME.png             optional, the same from a machine; without a classes.txt they are Cityscapes' trainIds

The domain says what to show: the labels, where there are any, if it is left out; ``pseudo`` what the machine said;
``bare`` neither. A picture without a file there has no labels. ``train`` and ``val`` part the pictures, always alike;
``all`` is both, ``unlabelled`` those that ``labels`` lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data import cityscapes
from cast_train.data.colors import color_of
from cast_train.data.folders import read_label, read_rgb
from cast_train.data.sample import Sample
from cast_train.data.splits import part_of
from cast_train.errors import DataError

SUFFIXES = ('.jpg', '.jpeg', '.png')
DOMAINS = {'': 'labels', 'pseudo': 'pseudo', 'bare': None}
NAMES = 'classes.txt'
VAL_SHARE = 0.2


class Pictures:
    """Pictures of one folder.

    Args:
        root: folder of the layout above.
        split: ``train``, ``val``, ``all`` or ``unlabelled``.
        domain: a key of ``DOMAINS``.

    Raises:
        DataError: a folder is missing or empty, a label has no picture, the wrong shape or number of bits or an unknown
            number, or nobody says what its numbers mean.
    """

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        if domain not in DOMAINS:
            raise DataError(f'pictures has the domains {", ".join(filter(None, DOMAINS))} and none, not {domain!r}')
        folder = root / 'images' if (root / 'images').is_dir() else root
        pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not pictures:
            raise DataError(f'{folder}: holds no picture ({", ".join(SUFFIXES)}); point the root at the pictures')
        stems = {picture.stem for picture in pictures}
        if len(stems) < len(pictures):
            raise DataError(f'{folder}: has two pictures of one name with different endings; rename one')
        labels = _label_files(root / 'labels', stems)
        self._labels = labels if domain == '' else {}
        kind = DOMAINS[domain]
        if domain == 'pseudo':
            self._labels = _label_files(root / 'pseudo', stems)
            if not self._labels:
                raise DataError(f'{root / "pseudo"}: holds no label; make them, or leave the domain out')
        self.classes = _classes(root / kind, bool(self._labels)) if kind else cityscapes.CLASSES
        if split == 'unlabelled':
            self._pictures = [picture for picture in pictures if picture.stem not in labels]
        else:
            chosen = part_of([picture.stem for picture in pictures], split, VAL_SHARE)
            self._pictures = [pictures[index] for index in chosen]
        if not self._pictures:
            raise DataError(f'{folder}: every picture has a label; take the split train, val or all')

    @property
    def names(self) -> Sequence[str]:
        """Stem of each picture."""
        return [picture.stem for picture in self._pictures]

    @property
    def scenes(self) -> Sequence[str]:
        """Every picture is one."""
        return self.names

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self._pictures[index]
        image = read_rgb(picture)
        path = self._labels.get(picture.stem)
        if path is None:
            return Sample(picture.stem, image)
        semantic = read_label(path, image.shape[:2], np.uint8)
        wrong = semantic[(semantic >= len(self.classes)) & (semantic != UNLABELLED)]
        if wrong.size:
            raise DataError(
                f'{path}: holds label {wrong[0]}, there are {len(self.classes)} classes and {UNLABELLED}; name all '
                f'classes in {path.parent / NAMES}, one a line'
            )
        return Sample(picture.stem, image, semantic=semantic)


def _label_files(folder: Path, stems: set[str]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found = {path.stem: path for path in folder.glob('*.png')}
    alone = sorted(found.keys() - stems)
    if alone:
        raise DataError(f'{found[alone[0]]}: there is no picture of that name; fetch it, or remove the label')
    return found


def _classes(folder: Path, needed: bool) -> tuple[ClassInfo, ...]:
    """Named by the file in the folder; Cityscapes' where there is none, and that is sure to be meant."""
    path = folder / NAMES
    if not path.is_file():
        if needed and folder.name == 'labels':
            raise DataError(f'{path}: no such file; name the classes of the labels there, one a line, the first is 0')
        return cityscapes.CLASSES
    try:
        names = [line.strip() for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path}: cannot be read as names of classes, one a line ({error})') from error
    if not names or len(set(names)) < len(names) or len(names) > UNLABELLED:
        raise DataError(f'{path}: needs 1 to {UNLABELLED} names, each once, one a line; it has {len(names)}')
    return tuple(
        ClassInfo(id=index, name=name, is_thing=False, color=color_of(index)) for index, name in enumerate(names)
    )
