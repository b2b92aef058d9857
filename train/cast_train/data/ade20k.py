# SPDX-License-Identifier: Apache-2.0
"""ADE20K as its challenges published it: 150 classes, 100 of them told apart (ADEChallengeData2016, instances of 2017).

images/SPLIT/NAME.jpg                       SPLIT is training or validation
annotations/SPLIT/NAME.png                  uint8: 0 something else, 1..150 the class
annotations_instance/SPLIT/NAME.png         RGB: red the category 1..100, green the number of the object, 0 none
objectInfo150.txt                           tab-separated: Idx … Name
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data.colors import color_of
from cast_train.data.folders import list_pictures, read_label, read_rgb, refuse_domain, require_files
from cast_train.data.sample import Sample
from cast_train.errors import DataError

TREE = 'the root is ADEChallengeData2016 with images/, annotations/, annotations_instance/ and objectInfo150.txt'
CLASS_TABLE = 'objectInfo150.txt'
CLASS_COUNT = 150
OTHER = 0

# The class (1..150) of each instance category (1..100), from the table of the instance challenge.
# fmt: off
CLASS_OF_CATEGORY = (
    8, 9, 11, 13, 15, 16, 19, 20, 21, 23, 24, 25, 28, 31, 32, 33, 34, 36, 37, 38, 39, 40, 42, 43, 44, 45, 46, 48, 50,
    51, 54, 56, 57, 58, 59, 63, 65, 66, 67, 68, 70, 71, 72, 73, 74, 75, 76, 77, 79, 81, 82, 83, 84, 86, 87, 88, 89, 90,
    91, 93, 94, 96, 98, 99, 103, 104, 105, 108, 109, 111, 112, 113, 116, 117, 119, 120, 121, 122, 124, 125, 126, 127,
    128, 130, 131, 133, 134, 135, 136, 137, 138, 139, 140, 143, 144, 145, 147, 148, 149, 150,
)
# fmt: on


class Ade20k:
    """Pictures of one split; class id = number in the challenge − 1.

    Args:
        root: the folder ``ADEChallengeData2016``.
        split: ``training`` or ``validation``.
        domain: must be empty.

    Raises:
        DataError: a folder or file is missing, has the wrong shape, or holds an unknown number.
    """

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        refuse_domain('ade20k', domain)
        self._root, self._split = root, split
        self._names = [path.stem for path in list_pictures(root / 'images' / split, '.jpg', TREE)]
        for kind in ('annotations', 'annotations_instance'):
            require_files(root / kind / split, (f'{name}.png' for name in self._names), TREE)
        self.classes = read_classes(root / CLASS_TABLE)

    @property
    def names(self) -> Sequence[str]:
        """Stem of each picture."""
        return self._names

    @property
    def scenes(self) -> Sequence[str]:
        """Each picture is a scene: they are photographs without relation."""
        return self._names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        name = self._names[index]
        image = read_rgb(self._root / 'images' / self._split / f'{name}.jpg')
        path = self._root / 'annotations' / self._split / f'{name}.png'
        numbers = read_label(path, image.shape[:2], np.uint8)
        if numbers.max(initial=0) > CLASS_COUNT:
            raise DataError(
                f'{path}: holds class {numbers.max()}, the challenge has 0 to {CLASS_COUNT}; '
                'the full ADE20K and its converted copies number differently, fetch ADEChallengeData2016'
            )
        semantic = np.where(numbers == OTHER, UNLABELLED, numbers - 1).astype(np.uint8)
        ids, labels = self._instances(name, image.shape[:2])
        return Sample(name, image, ids, labels, np.zeros(len(labels), np.bool_), semantic)

    def _instances(self, name: str, shape: tuple[int, int]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
        path = self._root / 'annotations_instance' / self._split / f'{name}.png'
        picture = read_rgb(path)
        if picture.shape[:2] != shape:
            raise DataError(
                f'{path}: has shape {picture.shape[:2]}, its picture has {shape}; label and picture must match'
            )
        category, number = picture[..., 0].astype(np.int64), picture[..., 1].astype(np.int64)
        if category.max(initial=0) > len(CLASS_OF_CATEGORY):
            raise DataError(
                f'{path}: holds category {category.max()}, the challenge has 1 to {len(CLASS_OF_CATEGORY)}; '
                'unpack annotations_instance of 2017 anew'
            )
        pairs = np.unique((number * 256 + category)[number > 0])
        numbers, categories = pairs // 256, pairs % 256
        if len(np.unique(numbers)) < len(numbers) or (categories == 0).any():
            twice = numbers[(np.diff(numbers, append=-1) == 0) | (categories == 0)]
            raise DataError(
                f'{path}: object {twice[0]} has no category or two; unpack annotations_instance of 2017 anew'
            )
        rows = np.zeros(256, np.uint16)
        rows[numbers] = np.arange(1, len(numbers) + 1)
        return rows[number], np.array(CLASS_OF_CATEGORY, np.int64)[categories - 1] - 1


def read_classes(path: Path) -> tuple[ClassInfo, ...]:
    """Read the 150 classes; a class is called by the first of its names, its colour is ours.

    Raises:
        DataError: the table is missing or does not number 150 names from 1 on.
    """
    try:
        rows = [line.split('\t') for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
        number, name = (rows[0].index(column) for column in ('Idx', 'Name'))
        names = {int(row[number]): row[name].split(',')[0].strip() for row in rows[1:]}
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f'{path}: needs tab-separated columns Idx and Name ({error}); it lies in the archive of the pictures'
        ) from error
    if sorted(names) != list(range(1, CLASS_COUNT + 1)) or len(set(names.values())) != CLASS_COUNT:
        raise DataError(
            f'{path}: must number {CLASS_COUNT} different names from 1 on, has {len(names)}; fetch the original'
        )
    return tuple(
        ClassInfo(id=index, name=names[index + 1], is_thing=index + 1 in CLASS_OF_CATEGORY, color=color_of(index))
        for index in range(CLASS_COUNT)
    )
