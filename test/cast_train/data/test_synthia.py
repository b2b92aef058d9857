# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA's loader, on a drawn tree of the true shape and on broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_synthia import HEIGHT, WIDTH, draw_synthia

from cast_train.data import open_dataset
from cast_train.data.synthia import CLASSES
from cast_train.errors import DataError

SKY, ROAD, CAR, LANE = (next(c.id for c in CLASSES if c.name == n) for n in ('sky', 'road', 'car', 'lane marking'))
LABEL, DEPTH = 'GT/LABELS/0000001.png', 'Depth/Depth/0000001.png'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    draw_synthia(tmp_path, 2)
    return tmp_path


def test_the_classes_are_the_twenty_two_beside_void() -> None:
    assert len(CLASSES) == 22
    assert len({entry.color for entry in CLASSES}) == 22
    things = [entry.name for entry in CLASSES if entry.is_thing]
    assert sorted(things) == ['bicycle', 'bus', 'car', 'motorcycle', 'person', 'rider', 'train', 'truck']


def test_the_first_channel_is_the_class(tree: Path) -> None:
    pictures = open_dataset('synthia', tree, 'all')
    assert list(pictures.names) == list(pictures.scenes) == ['0000000', '0000001']
    semantic = pictures[1].semantic
    assert semantic is not None
    assert semantic.dtype == np.uint8
    assert semantic[[0, 12, 15, 30, 31], [0, 0, 5, 0, 0]].tolist() == [SKY, ROAD, CAR, LANE, 255]


def test_the_second_channel_tells_touching_cars_apart_and_without_a_number_they_are_a_crowd(tree: Path) -> None:
    sample = open_dataset('synthia', tree, 'all')[0]
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    assert sample.instance_is_crowd is not None
    first, second, crowd = sample.instance_ids[15, [5, 20, 45]].tolist()
    assert sorted((first, second, crowd)) == [1, 2, 3]
    assert sample.instance_ids[0, 0] == 0
    assert sample.instance_labels.tolist() == [CAR] * 3
    assert [bool(sample.instance_is_crowd[row - 1]) for row in (first, second, crowd)] == [False, False, True]


@pytest.mark.parametrize('folder', ['Depth/Depth', 'Depth'])
def test_centimetres_become_metres(tmp_path: Path, folder: str) -> None:
    draw_synthia(tmp_path, 1, depth=folder)
    sample = open_dataset('synthia', tmp_path, 'all')[0]
    assert sample.depth_m is not None
    assert sample.depth_m.dtype == np.float32
    assert sample.depth_m[13, 0] == pytest.approx(5.0)
    assert np.isposinf(sample.depth_m[0, 0])
    assert np.isnan(sample.depth_m[12, 0])
    assert sample.fx_px is None


def test_depth_in_three_equal_channels_is_the_same_depth(tree: Path) -> None:
    one = open_dataset('synthia', tree, 'all')[1].depth_m
    centimetres = cv2.imread(str(tree / DEPTH), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(tree / DEPTH), np.repeat(centimetres[..., None], 3, axis=2))
    np.testing.assert_array_equal(open_dataset('synthia', tree, 'all')[1].depth_m, one)


def test_without_depth_it_is_absent(tmp_path: Path) -> None:
    draw_synthia(tmp_path, 1, depth=None)
    assert open_dataset('synthia', tmp_path, 'all')[0].depth_m is None


def write(relative: str, array: np.ndarray) -> Callable[[Path], object]:
    return lambda root: cv2.imwrite(str(root / relative), array)


def cut(relative: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        content = (root / relative).read_bytes()
        (root / relative).write_bytes(content[: len(content) * 2 // 3])

    return damage


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (write(LABEL, np.full((HEIGHT, WIDTH, 3), 3, np.uint8)), 'uint8 numbers, needs uint16'),
        (write(LABEL, np.full((HEIGHT, WIDTH), 3, np.uint16)), 'has one channel, needs class and object'),
        (write(LABEL, np.full((HEIGHT, WIDTH, 3), 23, np.uint16)), 'holds class 23, SYNTHIA has 0 to 22'),
        (write(LABEL, np.full((HEIGHT, 8, 3), 3, np.uint16)), 'label and picture must match'),
        (
            write(
                LABEL, np.stack([np.arange(2048).reshape(HEIGHT, WIDTH) * k + 8 for k in (1, 1, 0)], -1).astype('u2')
            ),
            'holds 2048 objects, which cannot be',
        ),
        (write(DEPTH, np.full((HEIGHT, WIDTH), 9, np.uint8)), r'Depth.0000001\.png: holds uint8'),
        (
            write(DEPTH, np.arange(HEIGHT * WIDTH * 3, dtype=np.uint16).reshape(HEIGHT, WIDTH, 3)),
            'its channels differ',
        ),
        (cut(LABEL), r'LABELS.0000001\.png: cannot be decoded'),
        (cut('RGB/0000001.png'), r'RGB.0000001\.png: cannot be decoded'),
        (lambda root: (root / DEPTH).write_bytes(b''), r'Depth.0000001\.png: cannot be decoded'),
    ],
)
def test_a_damaged_file_is_named(tree: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message):
        open_dataset('synthia', tree, 'all')[1]


@pytest.mark.parametrize('missing', [LABEL, DEPTH])
def test_a_missing_label_is_found_at_once(tree: Path, missing: str) -> None:
    (tree / missing).unlink()
    with pytest.raises(DataError, match=r'0000001\.png: no such file; unpack'):
        open_dataset('synthia', tree, 'all')


def test_a_wrong_tree_split_or_domain_says_what_to_do(tree: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'train', its pictures were never divided; take all"):
        open_dataset('synthia', tree, 'train')
    with pytest.raises(DataError, match="has no domains, so 'day' selects nothing"):
        open_dataset('synthia', tree, 'all', 'day')
    with pytest.raises(DataError, match=r'RGB: no such folder; the root is RAND_CITYSCAPES'):
        open_dataset('synthia', tree / 'GT', 'all')
    for path in (tree / 'RGB').iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r'RGB: no file ends in \.png; the root is'):
        open_dataset('synthia', tree, 'all')
