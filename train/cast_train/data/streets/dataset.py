# SPDX-License-Identifier: Apache-2.0
"""The rendered street benchmark: Cityscapes folders, with depth and a camera file for every picture.

leftImg8bit/SPLIT/DOMAIN/STEM_leftImg8bit.jpg       gtFine/SPLIT/DOMAIN/STEM_gtFine_instanceIds.png (uint16)
depth/SPLIT/DOMAIN/STEM_depth.png (uint16, cm)      camera/SPLIT/DOMAIN/STEM_camera.json (fx, fy, cx, cy in pixels)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cast_ros.offline.evaluation.ground_truth import decode_instances
from cast_ros.student import ClassInfo
from cast_train.data.folders import list_pictures, read_depth, read_label, read_rgb
from cast_train.data.sample import Sample
from cast_train.errors import DataError

PICTURE_SUFFIX = '_leftImg8bit.jpg'
TREE = 'the root must hold leftImg8bit/, gtFine/, depth/ and camera/, each with SPLIT/DOMAIN/ (see docs/training.md)'
SKY_CM = 65535

# Cityscapes labelId of each class, in the order of our class ids; names and colours are Cityscapes' own.
LABEL_IDS = (7, 8, 11, 17, 20, 21, 22, 23, 24, 26, 27)
CLASSES = tuple(
    ClassInfo(id=index, name=name, is_thing=is_thing, color=color)
    for index, (name, is_thing, color) in enumerate(
        (
            ('road', False, (128, 64, 128)),
            ('sidewalk', False, (244, 35, 232)),
            ('building', False, (70, 70, 70)),
            ('pole', False, (153, 153, 153)),
            ('traffic sign', False, (220, 220, 0)),
            ('vegetation', False, (107, 142, 35)),
            ('terrain', False, (152, 251, 152)),
            ('sky', False, (70, 130, 180)),
            ('person', True, (220, 20, 60)),
            ('car', True, (0, 0, 142)),
            ('truck', True, (0, 0, 70)),
        )
    )
)
CLASS_OF_LABEL = dict(zip(LABEL_IDS, range(len(CLASSES)), strict=True))
THING_LABELS = tuple(label for label, entry in zip(LABEL_IDS, CLASSES, strict=True) if entry.is_thing)


class Streets:
    """Pictures of one split and domain.

    Args:
        root: folder of the benchmark.
        split: ``train``, ``val``, ``drive`` or ``foundation``.
        domain: ``day`` or ``night``.

    Raises:
        DataError: a folder or file is missing or has the wrong shape.
    """

    classes = CLASSES

    def __init__(self, root: Path, split: str, domain: str) -> None:
        self._root, self._split, self._domain = root, split, domain
        pictures = list_pictures(root / 'leftImg8bit' / split / domain, PICTURE_SUFFIX, TREE)
        self._stems = [picture.name.removesuffix(PICTURE_SUFFIX) for picture in pictures]

    @property
    def names(self) -> Sequence[str]:
        """Stem of each picture."""
        return self._stems

    @property
    def scenes(self) -> Sequence[str]:
        """Scene of each picture: its stem without the frame number."""
        return [stem.rsplit('_', 1)[0] for stem in self._stems]

    def __len__(self) -> int:
        return len(self._stems)

    def __getitem__(self, index: int) -> Sample:
        stem = self._stems[index]
        image = read_rgb(self._path('leftImg8bit', stem + PICTURE_SUFFIX))
        shape = image.shape[:2]
        encoded = read_label(self._path('gtFine', f'{stem}_gtFine_instanceIds.png'), shape, np.uint16)
        ids, labels, is_crowd, semantic = decode_instances(encoded, CLASS_OF_LABEL, THING_LABELS)
        depth_m = read_depth(self._path('depth', f'{stem}_depth.png'), shape, 100, SKY_CM)
        return Sample(stem, image, ids, labels, is_crowd, semantic, depth_m, self._focal_length(stem), self._domain)

    def _path(self, kind: str, name: str) -> Path:
        return self._root / kind / self._split / self._domain / name

    def _focal_length(self, stem: str) -> float:
        path = self._path('camera', f'{stem}_camera.json')
        try:
            return float(json.loads(path.read_text())['fx'])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f'{path}: needs a JSON object with fx in pixels ({error})') from error
