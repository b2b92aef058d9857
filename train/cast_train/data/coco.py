# SPDX-License-Identifier: Apache-2.0
"""Instances in COCO's format; the file itself says which classes there are.

annotations/instances_SPLIT.json, SPLIT/FILE_NAME       COCO
SPLIT/_annotations.coco.json, SPLIT/FILE_NAME           exports of annotation tools
annotations/SPLIT.json, images/FILE_NAME                the same with one folder of pictures
annotations.json, images/FILE_NAME                      one file: train and val part its scenes, all is both
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data.coco_masks import Polygons, Runs, check_segmentation, decode_segmentation
from cast_train.data.colors import color_of
from cast_train.data.folders import read_rgb, refuse_domain
from cast_train.data.sample import Sample
from cast_train.data.splits import part_of
from cast_train.errors import DataError

LAYOUTS = (
    ('annotations/instances_{split}.json', '{split}'),
    ('{split}/_annotations.coco.json', '{split}'),
    ('annotations/{split}.json', 'images'),
    ('annotations.json', 'images'),
)
VAL_SHARE = 0.25


@dataclass(frozen=True)
class _Annotation:
    id: Any
    label: int
    is_crowd: bool
    segmentation: Polygons | Runs


@dataclass(frozen=True)
class _Picture:
    name: str
    file_name: str
    height: int
    width: int
    scene: str
    annotations: list[_Annotation]


class Coco:
    """Pictures and instances of one annotation file, checked as a whole when it is opened.

    Where masks overlap the smaller one lies on top, and a group (``iscrowd``) below all. COCO says nothing about stuff,
    so there is no semantic map.

    Args:
        root: folder of the layouts above.
        split: for example ``train2017``.
        domain: must be empty.

    Raises:
        DataError: the file or a picture is missing, or an annotation is unusable.
    """

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        refuse_domain('coco', domain)
        self._path, self._folder = _find(root, split)
        document = _read_document(self._path)
        label_of = _labels(document['categories'], self._path)
        self.classes = tuple(
            ClassInfo(id=label, name=name, is_thing=True, color=color_of(label))
            for label, name in sorted(label_of.values())
        )
        pictures = _pictures(document['images'], self._folder, self._path)
        _attach(document['annotations'], pictures, {key: label for key, (label, _) in label_of.items()}, self._path)
        self._pictures = sorted(pictures.values(), key=lambda picture: picture.name)
        if self._path == root / LAYOUTS[-1][0]:
            self._pictures = [self._pictures[index] for index in part_of(self.scenes, split, VAL_SHARE)]

    @property
    def names(self) -> Sequence[str]:
        """File name of each picture without its extension."""
        return [picture.name for picture in self._pictures]

    @property
    def scenes(self) -> Sequence[str]:
        """The ``video_id`` of each picture where the file has one, else every picture is a scene."""
        return [picture.scene for picture in self._pictures]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = self._pictures[index]
        path = self._folder / picture.file_name
        image = read_rgb(path)
        shape = picture.height, picture.width
        if image.shape[:2] != shape:
            raise DataError(
                f'{path}: has shape {image.shape[:2]}, {self._path.name} says {shape}; '
                'correct the file, or save the picture upright without an EXIF orientation'
            )
        drawn = []
        for annotation in picture.annotations:
            try:
                mask = decode_segmentation(annotation.segmentation, *shape)
            except ValueError as error:
                raise DataError(f'{self._path}: annotation {annotation.id}: {error}') from error
            drawn.append((annotation, mask))
        drawn.sort(key=lambda pair: (not pair[0].is_crowd, -int(pair[1].sum())))
        ids = np.zeros(shape, np.uint16)
        for row, (_, mask) in enumerate(drawn, 1):
            ids[mask] = row
        kept, flat = np.unique(np.append(ids.ravel(), 0), return_inverse=True)
        rows = [drawn[row - 1][0] for row in kept[kept > 0]]
        return Sample(
            picture.name,
            image,
            flat[:-1].reshape(shape).astype(np.uint16),
            np.array([annotation.label for annotation in rows], np.int64),
            np.array([annotation.is_crowd for annotation in rows], np.bool_),
        )


def _find(root: Path, split: str) -> tuple[Path, Path]:
    candidates = [(root / file.format(split=split), root / folder.format(split=split)) for file, folder in LAYOUTS]
    for path, folder in candidates:
        if path.is_file():
            if not folder.is_dir():
                raise DataError(f'{folder}: no such folder; {path} needs its pictures there')
            return path, folder
    raise DataError(f'{root}: holds none of {", ".join(str(path.relative_to(root)) for path, _ in candidates)}')


def _read_document(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DataError(f'{path}: cannot be read as JSON ({error}); fetch or export it again') from error
    for key in ('images', 'annotations', 'categories'):
        entries = document.get(key) if isinstance(document, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f'{path}: needs a list of objects {key!r}; export it in COCO format with instances')
        if not entries and key != 'annotations':
            raise DataError(f'{path}: its list {key!r} is empty; export it with pictures and categories')
    return dict(document)


def _labels(categories: list[dict[str, Any]], path: Path) -> dict[int, tuple[int, str]]:
    """Our class id and the name of each category id, in the order of the latter."""
    names: dict[int, str] = {}
    for category in categories:
        key, name = category.get('id'), category.get('name')
        if not isinstance(key, int) or not isinstance(name, str) or not name:
            raise DataError(f'{path}: category {key!r} needs a whole number as id and a name; correct the file')
        if key in names or name in names.values():
            raise DataError(f'{path}: category {key} {name!r} stands there twice; remove one')
        names[key] = name
    if len(names) > UNLABELLED:
        raise DataError(f'{path}: has {len(names)} categories, a student knows at most {UNLABELLED}; merge some')
    return {key: (label, names[key]) for label, key in enumerate(sorted(names))}


def _pictures(images: list[dict[str, Any]], folder: Path, path: Path) -> dict[Any, _Picture]:
    pictures: dict[Any, _Picture] = {}
    names: set[str] = set()
    for image in images:
        key, file_name, height, width = (image.get(field) for field in ('id', 'file_name', 'height', 'width'))
        if not isinstance(key, (int, str)) or not isinstance(file_name, str) or not file_name:
            raise DataError(f'{path}: image {key!r} needs an id and a file_name; correct the file')
        place = PurePosixPath(file_name)
        if place.is_absolute() or '..' in place.parts:
            raise DataError(f'{path}: image {key} is {file_name!r}, which must lie below {folder}; correct the file')
        if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
            raise DataError(f'{path}: image {key} has height {height} and width {width}; write those of the picture')
        name = str(place.with_suffix(''))
        if key in pictures or name in names:
            raise DataError(f'{path}: image {key} {file_name!r} stands there twice; remove or rename one')
        if not (folder / place).is_file():
            raise DataError(f'{folder / place}: no such picture, image {key} of {path}; fetch it or remove its entry')
        names.add(name)
        pictures[key] = _Picture(name, file_name, height, width, str(image.get('video_id', name)), [])
    return pictures


def _attach(
    annotations: list[dict[str, Any]], pictures: dict[Any, _Picture], label_of: dict[int, int], path: Path
) -> None:
    """Check every annotation and hand it to its picture."""
    seen: set[Any] = set()
    for annotation in annotations:
        key, image, category = (annotation.get(field) for field in ('id', 'image_id', 'category_id'))
        where = f'{path}: annotation {key!r}'
        if not isinstance(key, (int, str)) or key in seen:
            raise DataError(f'{where} has no id, or another has the same; number the annotations anew')
        if not isinstance(image, (int, str)) or image not in pictures:
            raise DataError(f'{where} is of image {image!r}, which is not there; remove it')
        if not isinstance(category, int) or category not in label_of:
            raise DataError(f'{where} has category {category!r}; known are {", ".join(map(str, sorted(label_of)))}')
        picture = pictures[image]
        try:
            segmentation = check_segmentation(annotation.get('segmentation'), picture.height, picture.width)
        except ValueError as error:
            raise DataError(f'{where}: {error}') from error
        seen.add(key)
        picture.annotations.append(
            _Annotation(key, label_of[category], bool(annotation.get('iscrowd', 0)), segmentation)
        )
