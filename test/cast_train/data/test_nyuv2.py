# SPDX-License-Identifier: Apache-2.0
"""NYU Depth V2's loader, on a drawn tree of the shape that we ask for and on broken ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_nyuv2 import HEIGHT, WIDTH, draw_nyuv2

from cast_train.data import DATASETS, open_dataset
from cast_train.data.nyuv2 import CLASSES, CLASSES_13, FX_PX
from cast_train.errors import DataError

NAMES = ['kitchen_0004_00045', 'kitchen_0004_00046', 'office_0001a_00002', '1449']


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    draw_nyuv2(tmp_path, 'train', NAMES)
    return tmp_path


def test_there_are_forty_classes_or_thirteen() -> None:
    assert (len(CLASSES), len(CLASSES_13)) == (40, 13)
    assert len({entry.name for entry in CLASSES}) == 40
    assert (CLASSES[0].name, CLASSES[39].name, CLASSES_13[0].name) == ('wall', 'other prop', 'bed')
    assert DATASETS['nyuv2_13'].classes == CLASSES_13


def test_labels_millimetres_and_focal_length_are_read(tree: Path) -> None:
    sample = open_dataset('nyuv2', tree, 'train')[1]
    assert sample.name == 'kitchen_0004_00045'
    assert sample.semantic is not None
    assert sample.semantic.dtype == np.uint8
    assert sample.semantic[[0, 0, 1, 20], [0, 1, 0, 0]].tolist() == [255, 39, 0, 1]
    assert sample.depth_m is not None
    assert sample.depth_m.dtype == np.float32
    assert sample.depth_m[[1, 20], [0, 0]].tolist() == pytest.approx([2.5, 1.0])
    assert np.isnan(sample.depth_m[0, 0])
    assert sample.fx_px == pytest.approx(FX_PX * WIDTH / 640)
    assert sample.instance_ids is None


def test_a_room_is_a_scene_where_names_say_it(tree: Path) -> None:
    pictures = open_dataset('nyuv2', tree, 'train')
    assert list(zip(pictures.names, pictures.scenes, strict=True)) == [
        ('1449', '1449'),
        ('kitchen_0004_00045', 'kitchen_0004'),
        ('kitchen_0004_00046', 'kitchen_0004'),
        ('office_0001a_00002', 'office_0001a'),
    ]


def test_thirteen_classes_come_from_a_folder_of_their_own(tmp_path: Path) -> None:
    draw_nyuv2(tmp_path, 'test', ['1'], labels='label13', ending='jpg')
    pictures = open_dataset('nyuv2_13', tmp_path, 'test')
    semantic = pictures[0].semantic
    assert semantic is not None
    assert semantic[0, :3].tolist() == [255, 12, 0]
    assert pictures.classes == CLASSES_13
    assert open_dataset('nyuv2', tmp_path, 'test')[0].semantic is None, 'labels of other classes are never read'


def test_depth_alone_and_labels_alone_will_do(tmp_path: Path) -> None:
    draw_nyuv2(tmp_path, 'train', ['1'], labels=None)
    draw_nyuv2(tmp_path, 'test', ['1'], depth=False)
    assert open_dataset('nyuv2', tmp_path, 'train')[0].semantic is None
    assert open_dataset('nyuv2', tmp_path, 'test')[0].depth_m is None


def write(relative: str, array: np.ndarray) -> Callable[[Path], object]:
    return lambda root: cv2.imwrite(str(root / relative), array)


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            write('label/train/1449.png', np.full((HEIGHT, WIDTH), 41, np.uint8)),
            r'1449\.png: holds label 41, these classes are 1 to 40; map the 894 names',
        ),
        (write('label/train/1449.png', np.full((HEIGHT, WIDTH), 700, np.uint16)), 'uint16 numbers, needs uint8'),
        (write('label/train/1449.png', np.ones((3, 4), np.uint8)), 'label and picture must match'),
        (write('depth/train/1449.png', np.ones((HEIGHT, WIDTH), np.uint8)), r'depth.train.1449\.png: holds uint8'),
        (write('rgb/train/1449.png', np.ones((HEIGHT, 30, 3), np.uint8)), r'30×24 pixels, which is not 4:3'),
        (lambda root: (root / 'rgb/train/1449.png').write_bytes(b'x'), r'rgb.train.1449\.png: cannot be decoded'),
        (lambda root: (root / 'depth/train/1449.png').write_bytes(b''), r'depth.train.1449\.png: cannot be decoded'),
    ],
)
def test_a_damaged_file_is_named(tree: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message):
        open_dataset('nyuv2', tree, 'train')[0]


@pytest.mark.parametrize('kind', ['depth', 'label'])
def test_a_missing_file_is_found_at_once(tree: Path, kind: str) -> None:
    (tree / kind / 'train' / '1449.png').unlink()
    with pytest.raises(DataError, match=rf'{kind}.train.1449\.png: no such file'):
        open_dataset('nyuv2', tree, 'train')


def test_a_wrong_tree_split_or_domain_says_what_to_do(tree: Path) -> None:
    with pytest.raises(DataError, match=r'rgb.val: no such folder; the root must hold rgb/SPLIT'):
        open_dataset('nyuv2', tree, 'val')
    with pytest.raises(DataError, match='has no domains'):
        open_dataset('nyuv2', tree, 'train', 'night')
    shutil.rmtree(tree / 'depth')
    with pytest.raises(DataError, match=r'holds neither depth/train nor label13/train; the root must hold'):
        open_dataset('nyuv2_13', tree, 'train')
