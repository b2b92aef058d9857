# SPDX-License-Identifier: Apache-2.0
"""Penn-Fudan: pedestrians, each with a mask; as published or flattened.

PNGImages/NAME.png     PedMasks/NAME_mask.png       published
images/NAME.jpg        instances/NAME.png           flat

A mask is uint8, 0 background and k person k. Small, distant and covered people have none, so people are not complete:
what is not labelled is unknown. ``train`` and ``val`` part the pictures, always alike; ``all`` is both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cast_ros.student import ClassInfo
from cast_train.data.folders import list_pictures, read_label, read_rgb, refuse_domain, require_files
from cast_train.data.sample import Sample
from cast_train.data.splits import part_of
from cast_train.errors import DataError

TREE = 'the root must hold PNGImages/ and PedMasks/ as the archive unpacks, or images/ and instances/'
# Folder and ending of pictures and of masks.
LAYOUTS = (('PNGImages', '.png', 'PedMasks', '_mask.png'), ('images', '.jpg', 'instances', '.png'))
VAL_SHARE = 0.2
CLASSES = (ClassInfo(id=0, name='person', is_thing=True, color=(220, 20, 60)),)


class PennFudan:
    """Pictures of one split.

    Args:
        root: folder of one of the layouts above.
        split: ``train``, ``val`` or ``all``.
        domain: must be empty.

    Raises:
        DataError: a folder or file is missing, has the wrong shape or number of bits, or numbers people with gaps.
    """

    classes = CLASSES

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        refuse_domain('pennfudan', domain)
        layout = next((layout for layout in LAYOUTS if (root / layout[0]).is_dir()), None)
        if layout is None:
            raise DataError(f'{root}: has neither {LAYOUTS[0][0]} nor {LAYOUTS[1][0]}; {TREE}')
        folder, ending, masks, self._mask_ending = layout
        pictures = list_pictures(root / folder, ending, TREE)
        self._masks = root / masks
        require_files(self._masks, [f'{picture.stem}{self._mask_ending}' for picture in pictures], TREE)
        self._pictures = [pictures[index] for index in part_of([path.stem for path in pictures], split, VAL_SHARE)]

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
        path = self._masks / f'{picture.stem}{self._mask_ending}'
        ids = read_label(path, image.shape[:2], np.uint8)
        people = np.unique(ids[ids > 0]).tolist()
        if people != list(range(1, len(people) + 1)):
            raise DataError(
                f'{path}: numbers its people {people}, not 1 to {len(people)}; fetch the original, it was converted'
            )
        labels = np.zeros(len(people), np.int64)
        return Sample(picture.stem, image, ids.astype(np.uint16), labels, np.zeros(len(people), np.bool_), complete=())
