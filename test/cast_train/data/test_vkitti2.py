# SPDX-License-Identifier: Apache-2.0
"""Virtual KITTI 2's loader, on a drawn tree of the true shape and on broken ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_vkitti2 import HEIGHT, NATIVE_FX_PX, NATIVE_WIDTH, WIDTH, draw_vkitti2

from cast_train.data import open_dataset
from cast_train.data.vkitti2 import CLASSES
from cast_train.errors import DataError

SKY, ROAD, CAR, TRUCK, VAN = (
    next(entry.id for entry in CLASSES if entry.name == name) for name in ('sky', 'road', 'car', 'truck', 'van')
)
CLONE = 'Scene01/clone'
FRAMES = f'{CLONE}/frames'
CLASS = f'{FRAMES}/classSegmentation/Camera_0/classgt_00001.png'
OBJECTS = f'{FRAMES}/instanceSegmentation/Camera_0/instancegt_00001.png'
DEPTH = f'{FRAMES}/depth/Camera_0/depth_00001.png'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    draw_vkitti2(tmp_path, 'Scene01', 'clone', 2)
    draw_vkitti2(tmp_path, 'Scene01', 'fog', 1)
    draw_vkitti2(tmp_path, 'Scene20', 'clone', 1)
    return tmp_path


def test_the_classes_are_the_fourteen() -> None:
    assert len(CLASSES) == 14
    assert [entry.name for entry in CLASSES if entry.is_thing] == ['truck', 'car', 'van']


def test_split_and_domain_choose_scenes_and_variants(tree: Path) -> None:
    everything = open_dataset('vkitti2', tree, 'all')
    assert list(everything.names) == [
        'Scene01/clone/00000',
        'Scene01/clone/00001',
        'Scene01/fog/00000',
        'Scene20/clone/00000',
    ]
    assert list(everything.scenes) == ['Scene01', 'Scene01', 'Scene01', 'Scene20']
    assert [everything[index].domain for index in range(4)] == ['clone', 'clone', 'fog', 'clone']
    assert list(open_dataset('vkitti2', tree, 'all', 'clone').scenes) == ['Scene01', 'Scene01', 'Scene20']
    assert list(open_dataset('vkitti2', tree, 'Scene01', 'fog').names) == ['Scene01/fog/00000']


def test_colours_become_classes(tree: Path) -> None:
    sample = open_dataset('vkitti2', tree, 'Scene01', 'clone')[1]
    assert sample.name == 'Scene01/clone/00001'
    assert sample.semantic is not None
    assert sample.semantic.dtype == np.uint8
    places = [0, 7, 10, 10, 10, 19], [0, 0, 5, 15, 35, 0]
    assert sample.semantic[places].tolist() == [SKY, ROAD, CAR, TRUCK, VAN, 255]


def test_objects_are_the_numbers_behind_the_palette(tree: Path) -> None:
    sample = open_dataset('vkitti2', tree, 'Scene01', 'clone')[0]
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    assert sample.instance_is_crowd is not None
    rows = sample.instance_ids[10, [5, 15, 35]].tolist()
    assert sorted(rows) == [1, 2, 3]
    assert [int(sample.instance_labels[row - 1]) for row in rows] == [CAR, TRUCK, VAN]
    assert [bool(sample.instance_is_crowd[row - 1]) for row in rows] == [False, False, True]
    assert sample.instance_ids[7, 0] == 0


def test_centimetres_become_metres_and_the_left_camera_gives_the_focal_length(tree: Path) -> None:
    sample = open_dataset('vkitti2', tree, 'Scene01', 'clone')[0]
    assert sample.depth_m is not None
    assert sample.depth_m[7, 1] == pytest.approx(20.0)
    assert np.isposinf(sample.depth_m[0, 0])
    assert np.isnan(sample.depth_m[6, 0])
    assert sample.fx_px == pytest.approx(NATIVE_FX_PX * WIDTH / NATIVE_WIDTH)


def test_a_variant_without_labels_is_unlabelled(tmp_path: Path) -> None:
    draw_vkitti2(tmp_path, 'Scene01', 'rain', 1, labels=False)
    sample = open_dataset('vkitti2', tmp_path, 'all')[0]
    labels = sample.instance_ids, sample.instance_labels, sample.instance_is_crowd, sample.semantic, sample.depth_m
    assert labels == (None,) * 5
    assert sample.fx_px is None
    assert sample.domain == 'rain'


def test_objects_may_be_absent_on_their_own(tree: Path) -> None:
    shutil.rmtree(tree / FRAMES / 'instanceSegmentation')
    sample = open_dataset('vkitti2', tree, 'Scene01', 'clone')[0]
    assert sample.semantic is not None
    assert sample.instance_ids is None


def test_a_table_of_colours_without_undefined_still_has_black(tree: Path) -> None:
    path = tree / CLONE / 'colors.txt'
    path.write_text(path.read_text().replace('Undefined 0 0 0\n', ''))
    semantic = open_dataset('vkitti2', tree, 'Scene01', 'clone')[0].semantic
    assert semantic is not None
    assert semantic[19, 0] == 255


def replace_text(relative: str, old: str, new: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = root / relative
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


def image(relative: str, array: np.ndarray) -> Callable[[Path], object]:
    return lambda root: cv2.imwrite(str(root / relative), array)


def cut(relative: str) -> Callable[[Path], object]:
    return lambda root: (root / relative).write_bytes((root / relative).read_bytes()[:60])


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (image(CLASS, np.full((HEIGHT, WIDTH, 3), 77, np.uint8)), r'classgt_00001\.png: holds colour \(77, 77, 77\)'),
        (image(CLASS, np.full((HEIGHT, 9, 3), 80, np.uint8)), r'classgt_00001\.png: has shape \(20, 9\)'),
        (image(DEPTH, np.full((HEIGHT, WIDTH), 80, np.uint8)), r'depth_00001\.png: holds uint8 numbers, needs uint16'),
        (image(OBJECTS, np.full((HEIGHT, WIDTH, 3), 80, np.uint8)), r'instancegt_00001\.png: is RGB, needs numbers'),
        (image(OBJECTS, np.full((HEIGHT, 9), 1, np.uint8)), r'instancegt_00001\.png: has shape \(20, 9\)'),
        (cut(OBJECTS), r'instancegt_00001\.png: cannot be decoded'),
        (
            lambda root: (root / OBJECTS).write_bytes(b'IEND\xaeB`\x82 no png'),
            r'00001\.png: cannot be decoded as a PNG',
        ),
        (cut(f'{FRAMES}/rgb/Camera_0/rgb_00001.jpg'), r'rgb_00001\.jpg: cannot be decoded'),
        (cut(CLASS), r'classgt_00001\.png: cannot be decoded'),
    ],
)
def test_a_damaged_picture_is_named(tree: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message):
        open_dataset('vkitti2', tree, 'Scene01', 'clone')[1]


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda root: (root / CLASS).unlink(), r'classgt_00001\.png: no such file; unpack'),
        (lambda root: (root / OBJECTS).unlink(), r'instancegt_00001\.png: no such file; unpack'),
        (lambda root: (root / CLONE / 'colors.txt').unlink(), r'colors\.txt: needs .*unpack vkitti_2\.0\.3_textgt'),
        (replace_text(f'{CLONE}/colors.txt', 'Van 0 139 139', 'Ship 0 1 2'), r"colors\.txt: needs .*KeyError\('Ship'"),
        (replace_text(f'{CLONE}/colors.txt', 'Van 0 139 139', 'Van 0 139'), r'colors\.txt: needs'),
        (replace_text(f'{CLONE}/colors.txt', 'Van 0 139 139', 'Van 0 139 x'), r'colors\.txt: needs'),
        (lambda root: (root / CLONE / 'intrinsic.txt').unlink(), r'intrinsic\.txt: needs .*unpack'),
        (replace_text(f'{CLONE}/intrinsic.txt', '1 0 725.0087', '7 0 725.0087'), 'has no row for frame 00001'),
        (replace_text(f'{CLONE}/intrinsic.txt', '1 0 725.0087', '1 0 -3'), 'needs a positive fx'),
        (replace_text(f'{CLONE}/intrinsic.txt', '1 0 725.0087', '1 0 wide'), r'intrinsic\.txt: needs a line'),
        (lambda root: (root / CLONE / 'intrinsic.txt').write_text(''), 'needs a positive fx'),
        (
            lambda root: (root / FRAMES / 'rgb/Camera_0/rgb_00001.jpg').rename(root / FRAMES / 'rgb/Camera_0/x.jpg'),
            r'x\.jpg: is no rgb_NNNNN\.jpg',
        ),
    ],
)
def test_a_broken_tree_is_found_at_once(tree: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message):
        open_dataset('vkitti2', tree, 'Scene01', 'clone')


def test_a_wrong_root_scene_or_variant_says_what_there_is(tree: Path) -> None:
    with pytest.raises(DataError, match="has no scene 'train', but Scene01, Scene20; take one or all"):
        open_dataset('vkitti2', tree, 'train')
    with pytest.raises(DataError, match="no variant 'night' of Scene01; there are clone, fog; the root must hold"):
        open_dataset('vkitti2', tree, 'Scene01', 'night')
    with pytest.raises(DataError, match=r'no variant .* of all; there are none; the root must hold SCENE/VARIANT'):
        open_dataset('vkitti2', tree / 'Scene20', 'all')
    shutil.rmtree(tree / 'Scene20/clone/frames/rgb')
    with pytest.raises(DataError, match=r'rgb.Camera_0: no such folder; the root must hold'):
        open_dataset('vkitti2', tree, 'Scene20')
