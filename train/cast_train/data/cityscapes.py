# SPDX-License-Identifier: Apache-2.0
"""Cityscapes as its archives unpack: 19 classes, 8 of them things; depth from stereo where that archive is there.

leftImg8bit/SPLIT/CITY/STEM_leftImg8bit.png      gtFine/SPLIT/CITY/STEM_gtFine_instanceIds.png (uint16)
camera/SPLIT/CITY/STEM_camera.json (optional)    disparity/SPLIT/CITY/STEM_disparity.png (uint16, optional)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cast_ros.offline.evaluation.ground_truth import InstanceParts, decode_instances
from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data.folders import list_pictures, read_label, read_rgb, refuse_domain, require_files
from cast_train.data.sample import Sample
from cast_train.errors import DataError

PICTURE_SUFFIX = '_leftImg8bit.png'
LABEL_SUFFIX = '_gtFine_instanceIds.png'
TREE = 'the root must hold leftImg8bit/ and gtFine/, each with SPLIT/CITY/ (see docs/data.md)'

# The public table of the data set: labelId, name, whether instances are told apart, colour; in the order of trainIds.
_TABLE = (
    (7, 'road', False, (128, 64, 128)),
    (8, 'sidewalk', False, (244, 35, 232)),
    (11, 'building', False, (70, 70, 70)),
    (12, 'wall', False, (102, 102, 156)),
    (13, 'fence', False, (190, 153, 153)),
    (17, 'pole', False, (153, 153, 153)),
    (19, 'traffic light', False, (250, 170, 30)),
    (20, 'traffic sign', False, (220, 220, 0)),
    (21, 'vegetation', False, (107, 142, 35)),
    (22, 'terrain', False, (152, 251, 152)),
    (23, 'sky', False, (70, 130, 180)),
    (24, 'person', True, (220, 20, 60)),
    (25, 'rider', True, (255, 0, 0)),
    (26, 'car', True, (0, 0, 142)),
    (27, 'truck', True, (0, 0, 70)),
    (28, 'bus', True, (0, 60, 100)),
    (31, 'train', True, (0, 80, 100)),
    (32, 'motorcycle', True, (0, 0, 230)),
    (33, 'bicycle', True, (119, 11, 32)),
)
CLASSES = tuple(
    ClassInfo(id=index, name=name, is_thing=is_thing, color=color)
    for index, (_, name, is_thing, color) in enumerate(_TABLE)
)
CLASS_OF_LABEL = {label: index for index, (label, *_) in enumerate(_TABLE)}
THING_LABELS = tuple(label for label, _, is_thing, _ in _TABLE if is_thing)
LAST_LABEL = 33
# The licence plate is label −1; tools that draw it write it as an unsigned number.
LICENCE_PLATE = 65535
# Ego vehicle, rectification border and out of roi: stereo says nothing about the street there.
BLIND_LABELS = (1, 2, 3)
INSTANCES_PER_LABEL = 1000
# The size that the numbers in the camera files are for.
NATIVE_HEIGHT, NATIVE_WIDTH = 1024, 2048
_NO_LABEL_ID = 255


class Cityscapes:
    """Pictures of one split, of all its cities.

    Args:
        root: folder that holds ``leftImg8bit`` and ``gtFine``.
        split: ``train`` or ``val``.
        domain: must be empty.

    Raises:
        DataError: a folder or file is missing, has the wrong shape or number of bits, or holds an unknown label.
    """

    classes = CLASSES

    def __init__(self, root: Path, split: str, domain: str = '') -> None:
        refuse_domain('cityscapes', domain)
        if split == 'test':
            raise DataError('cityscapes: the labels of test are not public, its files say void everywhere; take val')
        self._root, self._split = root, split
        pictures = root / 'leftImg8bit' / split
        cities = sorted(path for path in pictures.iterdir() if path.is_dir()) if pictures.is_dir() else []
        if not cities:
            raise DataError(f'{pictures}: no folder of a city; {TREE}')
        self._stems = []
        for city in cities:
            stems = [path.name.removesuffix(PICTURE_SUFFIX) for path in list_pictures(city, PICTURE_SUFFIX, TREE)]
            require_files(root / 'gtFine' / split / city.name, (stem + LABEL_SUFFIX for stem in stems), TREE)
            self._stems += stems
        self._has_disparity = (root / 'disparity' / split).is_dir()
        self._has_camera = self._has_disparity or (root / 'camera' / split).is_dir()

    @property
    def names(self) -> Sequence[str]:
        """CITY_SEQUENCE_FRAME of each picture."""
        return self._stems

    @property
    def scenes(self) -> Sequence[str]:
        """Each picture is a scene: it is the only labelled one of a video snippet of its own (see docs/data.md)."""
        return self._stems

    def __len__(self) -> int:
        return len(self._stems)

    def __getitem__(self, index: int) -> Sample:
        stem = self._stems[index]
        image = read_rgb(self._path('leftImg8bit', stem + PICTURE_SUFFIX))
        path = self._path('gtFine', stem + LABEL_SUFFIX)
        codes = read_label(path, image.shape[:2], np.uint16)
        parts = _decode(codes, path)
        native_fx, baseline_m = self._camera(stem) if self._has_camera else (None, 0.0)
        if native_fx is None:
            return Sample(stem, image, *parts)
        depth_m = None
        if self._has_disparity:
            disparity = read_label(self._path('disparity', f'{stem}_disparity.png'), image.shape[:2], np.uint16)
            # The numbers in it are pixels of the native size, whatever size the picture was reduced to.
            depth_m = depth_of(disparity, baseline_m * native_fx)
            depth_m[np.isin(codes, BLIND_LABELS)] = np.nan
        return Sample(stem, image, *parts, depth_m, self._fx_at(native_fx, stem, image.shape))

    def _path(self, kind: str, name: str) -> Path:
        return self._root / kind / self._split / name.partition('_')[0] / name

    def _fx_at(self, native_fx: float, stem: str, shape: tuple[int, ...]) -> float:
        height, width = shape[:2]
        if height * NATIVE_WIDTH != width * NATIVE_HEIGHT:
            path = self._path('leftImg8bit', stem + PICTURE_SUFFIX)
            raise DataError(
                f'{path}: has {width}×{height} pixels, not 2:1, so its camera file is of no use; '
                'reduce whole pictures, or remove camera/ and disparity/'
            )
        return native_fx * width / NATIVE_WIDTH

    def _camera(self, stem: str) -> tuple[float, float]:
        """Focal length in pixels of the native size, and baseline in metres."""
        path = self._path('camera', f'{stem}_camera.json')
        try:
            document = json.loads(path.read_text())
            focal, baseline_m = float(document['intrinsic']['fx']), float(document['extrinsic']['baseline'])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{path}: needs JSON with intrinsic.fx in pixels and extrinsic.baseline in metres ({error!r}); '
                'unpack the camera archive completely'
            ) from error
        if not (0 < focal < np.inf and 0 < baseline_m < np.inf):
            raise DataError(f'{path}: fx {focal} and baseline {baseline_m} must be positive; fetch the file again')
        return focal, baseline_m


def read_label_ids(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Read a ``labelIds`` picture, as data sets after Cityscapes have it, as class ids; 255 unlabelled.

    Raises:
        DataError: as for ``read_label``, or it holds an unknown label.
    """
    labels = read_label(path, shape, np.uint8)
    unknown = labels[(labels > LAST_LABEL) & (labels != _NO_LABEL_ID)]
    if unknown.size:
        raise DataError(
            f'{path}: holds label {unknown[0]}, labelIds are 0 to {LAST_LABEL}; fetch the original, it was converted'
        )
    class_of = np.full(256, UNLABELLED, np.uint8)
    class_of[list(CLASS_OF_LABEL)] = list(CLASS_OF_LABEL.values())
    semantic: npt.NDArray[np.uint8] = class_of[labels]
    return semantic


def depth_of(disparity: npt.NDArray[np.uint16], baseline_times_focal: float) -> npt.NDArray[np.float32]:
    """Metres from Cityscapes' disparity pictures, whose value v > 0 means (v − 1) / 256 pixels; NaN unknown.

    Args:
        disparity: H×W.
        baseline_times_focal: metres × pixels.
    """
    pixels = (disparity.astype(np.float32) - 1) / 256
    # A disparity of nothing is a failed match far more often than the horizon.
    return np.divide(baseline_times_focal, pixels, out=np.full(pixels.shape, np.nan, np.float32), where=pixels > 0)


def _decode(codes: npt.NDArray[np.uint16], path: Path) -> InstanceParts:
    """Decode the codes that occur, then look every pixel up: sorting two million pixels takes ten times as long."""
    present = np.flatnonzero(np.bincount(codes.ravel(), minlength=1 << 16))
    label = np.where(present < INSTANCES_PER_LABEL, present, present // INSTANCES_PER_LABEL)
    unknown = present[(label > LAST_LABEL) & (present != LICENCE_PLATE)]
    if unknown.size:
        raise DataError(
            f'{path}: holds {unknown[0]}, but codes are labelId or labelId*1000+k with labelId 0 to {LAST_LABEL}; '
            'fetch the original gtFine archive'
        )
    parts = decode_instances(present, CLASS_OF_LABEL, THING_LABELS)
    ids = np.zeros(1 << 16, parts.ids.dtype)
    semantic = np.zeros(1 << 16, parts.semantic.dtype)
    ids[present], semantic[present] = parts.ids, parts.semantic
    return InstanceParts(ids[codes], parts.labels, parts.is_crowd, semantic[codes])
