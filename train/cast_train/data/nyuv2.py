# SPDX-License-Identifier: Apache-2.0
"""NYU Depth V2, its 1449 labelled pictures of rooms, in folders.

rgb/SPLIT/NAME.png (or .jpg)         depth/SPLIT/NAME.png (uint16 millimetres, 0 unknown; optional)
label/SPLIT/NAME.png (uint8: 0 unlabelled, 1..40; optional), or label13/SPLIT/NAME.png (1..13) for ``nyuv2_13``

The original is one MATLAB file (HDF5). Everybody unpacks it with a script, and these folders are what such scripts
write under one name or another; so there is no need of a library for HDF5. The two sets of classes live in folders of
different names, since nothing else would tell a label 5 of one from a label 5 of the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data.colors import color_of
from cast_train.data.folders import list_pictures, read_depth, read_label, read_rgb, refuse_domain, require_files
from cast_train.data.sample import Sample
from cast_train.errors import DataError

TREE = 'the root must hold rgb/SPLIT and, under the same names, depth/SPLIT or label/SPLIT (see docs/data.md)'
# Of the Kinect's colour camera at 640×480 (camera_params.m of the data set's toolbox).
FX_PX, NATIVE_WIDTH = 518.857901, 640

# Gupta et al.'s 40 classes, and the 13 of Couprie et al., each in the order of its numbers from 1 on.
# fmt: off
NAMES_40 = (
    'wall', 'floor', 'cabinet', 'bed', 'chair', 'sofa', 'table', 'door', 'window', 'bookshelf', 'picture', 'counter',
    'blinds', 'desk', 'shelves', 'curtain', 'dresser', 'pillow', 'mirror', 'floor mat', 'clothes', 'ceiling', 'books',
    'refrigerator', 'television', 'paper', 'towel', 'shower curtain', 'box', 'whiteboard', 'person', 'night stand',
    'toilet', 'sink', 'lamp', 'bathtub', 'bag', 'other structure', 'other furniture', 'other prop',
)
NAMES_13 = (
    'bed', 'books', 'ceiling', 'chair', 'floor', 'furniture', 'objects', 'picture', 'sofa', 'table', 'television',
    'wall', 'window',
)
# fmt: on
CLASSES, CLASSES_13 = (
    tuple(ClassInfo(id=index, name=name, is_thing=False, color=color_of(index)) for index, name in enumerate(names))
    for names in (NAMES_40, NAMES_13)
)
# NYU's scenes are called like living_room_0012 or office_0001a; a frame's number may follow.
_SCENE = re.compile(r'(.+_\d{4}[a-z]?)_\d+')


class Nyuv2:
    """Pictures of one split, with 40 classes.

    Args:
        root: folder of the layout above.
        split: for example ``train`` or ``test``.
        domain: must be empty.

    Raises:
        DataError: a folder or file is missing, has the wrong shape or number of bits, or holds an unknown label.
    """

    classes = CLASSES
    labels = 'label'

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        refuse_domain('nyuv2', domain)
        pictures = root / 'rgb' / split
        suffix = '.jpg' if any(pictures.glob('*.jpg')) else '.png'
        self._pictures = list_pictures(pictures, suffix, TREE)
        self._depth = self._present(root / 'depth' / split)
        self._labels = self._present(root / self.labels / split)
        if self._depth is None and self._labels is None:
            raise DataError(f'{root}: holds neither depth/{split} nor {self.labels}/{split}; {TREE}')

    def _present(self, folder: Path) -> Path | None:
        if not folder.is_dir():
            return None
        require_files(folder, (f'{path.stem}.png' for path in self._pictures), TREE)
        return folder

    @property
    def names(self) -> Sequence[str]:
        """Stem of each picture."""
        return [path.stem for path in self._pictures]

    @property
    def scenes(self) -> Sequence[str]:
        """The room of each picture where its name starts with one, else every picture is a scene."""
        found = ((path.stem, _SCENE.fullmatch(path.stem)) for path in self._pictures)
        return [stem if match is None else match[1] for stem, match in found]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        path = self._pictures[index]
        image = read_rgb(path)
        height, width = image.shape[:2]
        if width * 3 != height * 4:
            raise DataError(
                f'{path}: has {width}×{height} pixels, which is not 4:3, so its focal length is unknown; '
                'write the pictures whole, with their white border'
            )
        name = f'{path.stem}.png'
        depth_m = None if self._depth is None else read_depth(self._depth / name, (height, width), 1000)
        semantic = None if self._labels is None else self._semantic(self._labels / name, (height, width))
        return Sample(path.stem, image, semantic=semantic, depth_m=depth_m, fx_px=FX_PX * width / NATIVE_WIDTH)

    def _semantic(self, path: Path, shape: tuple[int, int]) -> np.typing.NDArray[np.uint8]:
        labels = read_label(path, shape, np.uint8)
        if labels.max(initial=0) > len(self.classes):
            raise DataError(
                f'{path}: holds label {labels.max()}, these classes are 1 to {len(self.classes)}; '
                'map the 894 names of the original to 40 (label/) or 13 (label13/) first'
            )
        return np.where(labels == 0, UNLABELLED, labels - 1).astype(np.uint8)


class Nyuv2Of13(Nyuv2):
    """The same pictures with 13 classes."""

    classes = CLASSES_13
    labels = 'label13'
