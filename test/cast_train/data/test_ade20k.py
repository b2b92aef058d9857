# SPDX-License-Identifier: Apache-2.0
"""ADE20K's loader, on a drawn tree of the true shape and on broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_ade20k import BED, CAR, HEIGHT, WALL, WIDTH, draw_ade20k

from cast_train.data import open_dataset
from cast_train.data.ade20k import CLASS_OF_CATEGORY
from cast_train.errors import DataError

PICTURE = 'images/training/ADE_train_00000001.jpg'
CLASSES = 'annotations/training/ADE_train_00000001.png'
INSTANCES = 'annotations_instance/training/ADE_train_00000001.png'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    draw_ade20k(tmp_path, 'training', 2)
    return tmp_path


def test_a_hundred_of_the_classes_are_things(tree: Path) -> None:
    classes = open_dataset('ade20k', tree, 'training').classes
    assert len(classes) == 150
    assert sum(entry.is_thing for entry in classes) == 100
    assert classes[WALL - 1].name == 'name 1'
    assert [classes[number - 1].is_thing for number in (WALL, BED, CAR)] == [False, True, True]
    assert len(set(CLASS_OF_CATEGORY)) == 100
    assert list(CLASS_OF_CATEGORY) == sorted(CLASS_OF_CATEGORY)


def test_labels_are_in_the_students_ids(tree: Path) -> None:
    pictures = open_dataset('ade20k', tree, 'training')
    assert list(pictures.names) == list(pictures.scenes) == ['ADE_train_00000001', 'ADE_train_00000002']
    sample = pictures[0]
    assert sample.image.shape == (HEIGHT, WIDTH, 3)
    assert sample.semantic is not None
    assert sample.semantic[[0, 1, 12, 12], [0, 0, 4, 22]].tolist() == [255, WALL - 1, BED - 1, CAR - 1]
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    assert sample.instance_ids[[0, 12, 12], [0, 4, 22]].tolist() == [0, 2, 1], 'rows follow the numbers of the objects'
    assert sample.instance_labels.tolist() == [CAR - 1, BED - 1]
    assert sample.instance_is_crowd is not None
    assert sample.instance_is_crowd.tolist() == [False, False]
    assert sample.depth_m is None


def test_a_picture_without_objects_has_no_rows(tree: Path) -> None:
    cv2.imwrite(str(tree / INSTANCES), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    sample = open_dataset('ade20k', tree, 'training')[0]
    assert sample.instance_labels is not None
    assert sample.instance_labels.shape == (0,)
    assert sample.instance_ids is not None
    assert not sample.instance_ids.any()


def two_categories() -> np.ndarray:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[0, :2] = (0, 5, 1), (0, 5, 2)
    return picture


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda root: cut(root / PICTURE), r'00000001\.jpg: cannot be decoded as a picture, or is cut'),
        (lambda root: cut(root / CLASSES), r'annotations.training.*png: cannot be decoded'),
        (lambda root: cv2.imwrite(str(root / CLASSES), np.full((24, 40), 151, np.uint8)), 'holds class 151'),
        (lambda root: cv2.imwrite(str(root / CLASSES), np.zeros((24, 40), np.uint16)), 'holds uint16 numbers'),
        (lambda root: cv2.imwrite(str(root / CLASSES), np.zeros((24, 41), np.uint8)), 'label and picture must match'),
        (lambda root: cv2.imwrite(str(root / INSTANCES), np.zeros((24, 41, 3), np.uint8)), 'picture must match'),
        (lambda root: cv2.imwrite(str(root / INSTANCES), np.full((24, 40, 3), 101, np.uint8)), 'holds category 101'),
        (lambda root: cv2.imwrite(str(root / INSTANCES), two_categories()), 'object 5 has no category or two'),
        (
            lambda root: cv2.imwrite(str(root / INSTANCES), np.full((24, 40, 3), (0, 9, 0), np.uint8)),
            'object 9 has no category or two',
        ),
    ],
)
def test_a_damaged_file_is_named(tree: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message):
        open_dataset('ade20k', tree, 'training')[0]


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda root: (root / INSTANCES).unlink(),
            'annotations_instance.*00000001.png: no such file; unpack',
        ),
        (lambda root: (root / 'objectInfo150.txt').unlink(), r'objectInfo150\.txt: needs tab-separated columns'),
        (
            lambda root: (root / 'objectInfo150.txt').write_text('Idx\tName\n1\twall\n'),
            'must number 150 different',
        ),
        (lambda root: (root / 'objectInfo150.txt').write_text(''), 'needs tab-separated columns'),
    ],
)
def test_a_damaged_tree_is_found_at_once(tree: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message):
        open_dataset('ade20k', tree, 'training')


def test_a_wrong_split_or_domain_says_what_to_do(tree: Path) -> None:
    with pytest.raises(DataError, match='the root is ADEChallengeData2016 with images/'):
        open_dataset('ade20k', tree, 'train')
    with pytest.raises(DataError, match='leave the domain out'):
        open_dataset('ade20k', tree, 'training', 'indoor')
