# SPDX-License-Identifier: Apache-2.0
"""Cityscapes' loader, on a drawn tree of the true shape and on broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_cityscapes import BASELINE_M, FX_PX, HEIGHT, NATIVE_FX_PX, WIDTH, draw_cityscapes

from cast_train.data import open_dataset
from cast_train.data.cityscapes import CLASSES
from cast_train.errors import DataError

ROAD, SKY, PERSON, CAR = (next(c.id for c in CLASSES if c.name == name) for name in ('road', 'sky', 'person', 'car'))
LABEL = 'gtFine/train/ulm/ulm_000000_000019_gtFine_instanceIds.png'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    draw_cityscapes(tmp_path, 'train', 'ulm', frames=2, stereo=True)
    draw_cityscapes(tmp_path, 'train', 'aachen', frames=1, stereo=True)
    return tmp_path


def test_the_classes_are_the_nineteen_and_their_eight_things() -> None:
    assert len(CLASSES) == 19
    things = [entry.name for entry in CLASSES if entry.is_thing]
    assert things == ['person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle']
    assert len({entry.color for entry in CLASSES}) == 19


def test_all_cities_are_read_in_order(tree: Path) -> None:
    pictures = open_dataset('cityscapes', tree, 'train')
    assert list(pictures.names) == ['aachen_000000_000019', 'ulm_000000_000019', 'ulm_000001_000019']
    assert list(pictures.scenes) == list(pictures.names)
    assert [pictures[index].name for index in range(3)] == list(pictures.names)


def test_labels_are_in_the_students_ids(tree: Path) -> None:
    sample = open_dataset('cityscapes', tree, 'train')[1]
    assert sample.semantic is not None
    assert sample.semantic[[0, 12, 31, 15, 15, 15], [0, 0, 0, 5, 35, 55]].tolist() == [SKY, ROAD, 255, CAR, PERSON, 255]
    assert sample.instance_ids is not None
    assert sample.instance_ids.dtype == np.uint16
    assert sample.instance_labels is not None
    assert sample.instance_is_crowd is not None
    rows = sample.instance_ids[[15, 15, 15, 0], [5, 35, 55, 0]].tolist()
    assert rows[2:] == [0, 0]
    assert [int(sample.instance_labels[row - 1]) for row in rows[:2]] == [CAR, PERSON]
    assert [bool(sample.instance_is_crowd[row - 1]) for row in rows[:2]] == [False, True]


def test_stereo_gives_metres_where_it_knows(tree: Path) -> None:
    sample = open_dataset('cityscapes', tree, 'train')[1]
    assert sample.fx_px == FX_PX
    assert sample.depth_m is not None
    assert sample.depth_m[13, 1] == pytest.approx(BASELINE_M * NATIVE_FX_PX / 3)
    assert np.isnan(sample.depth_m[0, 0]), 'disparity 0 is unknown'
    assert np.isnan(sample.depth_m[13, 0]), 'a match without shift is no depth'
    assert np.isnan(sample.depth_m[31, 0]), 'the ego vehicle is no street'


def test_the_same_street_reduced_keeps_its_metres_and_halves_its_focal_length(tree: Path) -> None:
    stem = 'train/ulm/ulm_000000_000019'
    for kind, ending in (
        ('leftImg8bit', 'leftImg8bit'),
        ('gtFine', 'gtFine_instanceIds'),
        ('disparity', 'disparity'),
    ):
        path = tree / kind / f'{stem}_{ending}.png'
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[::2, ::2])
    sample = open_dataset('cityscapes', tree, 'train')[1]
    assert sample.fx_px == FX_PX / 2
    assert sample.depth_m is not None
    assert sample.depth_m[7, 1] == pytest.approx(BASELINE_M * NATIVE_FX_PX / 3)


def test_a_part_of_a_picture_has_no_focal_length(tree: Path) -> None:
    for path in tree.glob('*/train/ulm/ulm_000000_000019_*.png'):
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:, :40])
    with pytest.raises(DataError, match=r'leftImg8bit\.png: has 40×32 pixels, not 2:1'):
        open_dataset('cityscapes', tree, 'train')[1]


def test_without_stereo_depth_and_focal_length_are_absent(tmp_path: Path) -> None:
    draw_cityscapes(tmp_path, 'val', 'lindau', frames=1)
    sample = open_dataset('cityscapes', tmp_path, 'val')[0]
    assert sample.depth_m is None
    assert sample.fx_px is None


def test_a_drawn_licence_plate_is_unlabelled(tree: Path) -> None:
    codes = np.full((HEIGHT, WIDTH), 26002, np.uint16)
    codes[0, 0] = 65535
    cv2.imwrite(str(tree / LABEL), codes)
    sample = open_dataset('cityscapes', tree, 'train')[1]
    assert sample.semantic is not None
    assert sample.semantic[0, :2].tolist() == [255, CAR]


def cut(path: Path, share: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda root: cv2.imwrite(str(root / LABEL), np.zeros((32, 64), np.uint8)),
            'uint8 numbers, needs uint16',
        ),
        (lambda root: cv2.imwrite(str(root / LABEL), np.zeros((16, 64), np.uint16)), 'label and picture must match'),
        (lambda root: cv2.imwrite(str(root / LABEL), np.full((32, 64), 34, np.uint16)), 'holds 34, but codes are'),
        (lambda root: cv2.imwrite(str(root / LABEL), np.full((32, 64), 40007, np.uint16)), 'holds 40007, but codes'),
        (lambda root: cut(root / LABEL), r'instanceIds\.png: cannot be decoded as a picture, or is cut'),
        (lambda root: cut(root / 'leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png'), 'leftImg8bit.png: cannot'),
        (lambda root: (root / LABEL).write_bytes(b''), 'cannot be decoded'),
        (
            lambda root: (root / 'disparity/train/ulm/ulm_000000_000019_disparity.png').unlink(),
            'disparity.png: no',
        ),
        (
            lambda root: (root / 'camera/train/ulm/ulm_000000_000019_camera.json').write_text('{"intrinsic": {}}'),
            r'camera\.json: needs JSON with intrinsic\.fx',
        ),
        (
            lambda root: (root / 'camera/train/ulm/ulm_000000_000019_camera.json').write_text(
                '{"intrinsic": {"fx": 0}, "extrinsic": {"baseline": 0.2}}'
            ),
            'must be positive',
        ),
    ],
)
def test_a_damaged_file_is_named(tree: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message):
        open_dataset('cityscapes', tree, 'train')[1]


def test_a_missing_label_is_found_at_once(tree: Path) -> None:
    (tree / LABEL).unlink()
    with pytest.raises(DataError, match=r'ulm_000000_000019_gtFine_instanceIds\.png: no such file; unpack'):
        open_dataset('cityscapes', tree, 'train')


def test_a_wrong_tree_says_what_belongs_there(tree: Path) -> None:
    with pytest.raises(DataError, match=r'leftImg8bit.val: no folder of a city; the root must hold'):
        open_dataset('cityscapes', tree, 'val')
    with pytest.raises(DataError, match='labels of test are not public'):
        open_dataset('cityscapes', tree, 'test')
    (tree / 'leftImg8bit/train/bonn').mkdir()
    with pytest.raises(DataError, match=r'bonn: no file ends in _leftImg8bit\.png'):
        open_dataset('cityscapes', tree, 'train')
    with pytest.raises(DataError, match="has no domains, so 'day' selects nothing"):
        open_dataset('cityscapes', tree, 'train', 'day')
