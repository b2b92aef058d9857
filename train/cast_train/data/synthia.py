# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA-RAND-CITYSCAPES: 9400 drawn streets without order, with class, object and depth of every pixel.

RGB/NAME.png            GT/LABELS/NAME.png (uint16: first channel the class 0..22, second the number of the object)
Depth/Depth/NAME.png (uint16 centimetres; Depth/NAME.png in some copies; optional)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cast_ros.student import ClassInfo
from cast_train.data.folders import (
    list_pictures,
    read_channels,
    read_depth,
    read_rgb,
    refuse_domain,
    require_files,
)
from cast_train.data.numbered import instances_of
from cast_train.data.sample import Sample
from cast_train.errors import DataError

TREE = 'the root is RAND_CITYSCAPES with RGB/ and GT/LABELS/ (see docs/data.md)'
FAR_CM = 65535

# Number, name, whether objects are told apart, and colour, from the archive's README; pedestrian is called person here,
# as in Cityscapes. Lane marking has wall's colour there, so it got another.
_TABLE = (
    (1, 'sky', False, (70, 130, 180)),
    (2, 'building', False, (70, 70, 70)),
    (3, 'road', False, (128, 64, 128)),
    (4, 'sidewalk', False, (244, 35, 232)),
    (5, 'fence', False, (64, 64, 128)),
    (6, 'vegetation', False, (107, 142, 35)),
    (7, 'pole', False, (153, 153, 153)),
    (8, 'car', True, (0, 0, 142)),
    (9, 'traffic sign', False, (220, 220, 0)),
    (10, 'person', True, (220, 20, 60)),
    (11, 'bicycle', True, (119, 11, 32)),
    (12, 'motorcycle', True, (0, 0, 230)),
    (13, 'parking slot', False, (250, 170, 160)),
    (14, 'road work', False, (128, 64, 64)),
    (15, 'traffic light', False, (250, 170, 30)),
    (16, 'terrain', False, (152, 251, 152)),
    (17, 'rider', True, (255, 0, 0)),
    (18, 'truck', True, (0, 0, 70)),
    (19, 'bus', True, (0, 60, 100)),
    (20, 'train', True, (0, 80, 100)),
    (21, 'wall', False, (102, 102, 156)),
    (22, 'lane marking', False, (200, 200, 250)),
)
CLASSES = tuple(
    ClassInfo(id=index, name=name, is_thing=is_thing, color=color)
    for index, (_, name, is_thing, color) in enumerate(_TABLE)
)
CLASS_OF_LABEL = {label: index for index, (label, *_) in enumerate(_TABLE)}
THING_LABELS = tuple(label for label, _, is_thing, _ in _TABLE if is_thing)
LAST_LABEL = _TABLE[-1][0]


class Synthia:
    """All pictures; the archive divides them no further.

    Args:
        root: folder that holds ``RGB`` and ``GT``.
        split: ``all``.
        domain: must be empty.

    Raises:
        DataError: a folder or file is missing, has the wrong shape or number of bits, or holds an unknown class.
    """

    classes = CLASSES

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        refuse_domain('synthia', domain)
        if split != 'all':
            raise DataError(f'synthia has no split {split!r}, its pictures were never divided; take all')
        self._root = root
        pictures = list_pictures(root / 'RGB', '.png', TREE)
        self._names = [path.stem for path in pictures]
        files = [path.name for path in pictures]
        require_files(root / 'GT' / 'LABELS', files, TREE)
        nested = root / 'Depth' / 'Depth'
        self._depth = nested if nested.is_dir() else root / 'Depth'
        self._has_depth = self._depth.is_dir()
        if self._has_depth:
            require_files(self._depth, files, TREE)

    @property
    def names(self) -> Sequence[str]:
        """Stem of each picture."""
        return self._names

    @property
    def scenes(self) -> Sequence[str]:
        """Each picture is a scene: places, objects and light are drawn anew for each."""
        return self._names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        name = self._names[index]
        image = read_rgb(self._root / 'RGB' / f'{name}.png')
        shape = image.shape[:2]
        path = self._root / 'GT' / 'LABELS' / f'{name}.png'
        channels = read_channels(path, shape, np.uint16)
        if channels.shape[2] < 2:
            raise DataError(f'{path}: has one channel, needs class and object; fetch the original, it was converted')
        labels = channels[..., 0]
        if labels.max(initial=0) > LAST_LABEL:
            raise DataError(
                f'{path}: holds class {labels.max()}, SYNTHIA has 0 to {LAST_LABEL}; '
                'fetch the original, it was converted'
            )
        parts = instances_of(labels, channels[..., 1], CLASS_OF_LABEL, THING_LABELS, path)
        depth_m = read_depth(self._depth / f'{name}.png', shape, 100, FAR_CM) if self._has_depth else None
        return Sample(name, image, *parts, depth_m)
