# SPDX-License-Identifier: Apache-2.0
"""The loaders of ACDC and Dark Zurich, on drawn trees of the true shape and on broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_drives import HEIGHT, WIDTH, draw_acdc, draw_dark_zurich

from cast_train.data import DATASETS, Sample, open_dataset
from cast_train.data.cityscapes import CLASSES
from cast_train.errors import DataError

SKY, ROAD, CAR = (next(entry.id for entry in CLASSES if entry.name == name) for name in ('sky', 'road', 'car'))
LABEL = 'gt/fog/train/GOPR0475/GOPR0475_frame_000001_gt_labelIds.png'
PICTURE = 'rgb_anon/fog/train/GOPR0475/GOPR0475_frame_000001_rgb_anon.png'


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    draw_acdc(tmp_path / 'acdc')
    return tmp_path / 'acdc'


@pytest.fixture
def zurich(tmp_path: Path) -> Path:
    draw_dark_zurich(tmp_path / 'zurich')
    return tmp_path / 'zurich'


def require_no_labels(sample: Sample) -> None:
    assert (sample.instance_ids, sample.instance_labels, sample.semantic, sample.depth_m) == (None,) * 4


def test_both_have_the_classes_of_cityscapes() -> None:
    assert DATASETS['acdc'].classes == DATASETS['dark_zurich'].classes == CLASSES


def test_acdc_reads_label_ids(acdc: Path) -> None:
    pictures = open_dataset('acdc', acdc, 'train', 'fog')
    sample = pictures[1]
    assert sample.domain == 'fog'
    assert sample.semantic is not None
    assert sample.semantic.dtype == np.uint8
    assert sample.semantic[[0, 7, 9, 16, 17], [0, 0, 5, 0, 0]].tolist() == [SKY, ROAD, CAR, 255, 255]
    assert sample.instance_ids is None


def test_all_drives_are_read_in_order_and_each_is_a_scene(acdc: Path) -> None:
    pictures = open_dataset('acdc', acdc, 'train', 'fog')
    assert list(pictures.names) == ['GOPR0475_frame_000000', 'GOPR0475_frame_000001', 'GP010476_frame_000000']
    assert list(pictures.scenes) == ['GOPR0475', 'GOPR0475', 'GP010476']
    assert [pictures[index].name for index in range(3)] == list(pictures.names)


def test_a_condition_without_ground_truth_is_unlabelled(acdc: Path) -> None:
    pictures = open_dataset('acdc', acdc, 'train', 'night')
    assert len(pictures) == 2
    require_no_labels(pictures[0])
    assert pictures[0].domain == 'night'


def test_without_a_domain_all_conditions_that_are_there_are_read(acdc: Path) -> None:
    pictures = open_dataset('acdc', acdc, 'train')
    assert [pictures[index].domain for index in range(5)] == ['fog', 'fog', 'fog', 'night', 'night']
    assert [pictures[index].semantic is None for index in range(5)] == [False, False, False, True, True]
    assert len(open_dataset('acdc', acdc, 'val')) == 1


def test_reference_pictures_have_names_of_their_own(acdc: Path) -> None:
    pictures = open_dataset('acdc', acdc, 'train_ref', 'fog')
    assert list(pictures.names) == ['GOPR0475_frame_000000_ref', 'GOPR0475_frame_000001_ref']
    require_no_labels(pictures[0])


def test_dark_zurich_has_labels_for_val_at_night_alone(zurich: Path) -> None:
    night = open_dataset('dark_zurich', zurich, 'val', 'night')
    assert list(night.names) == ['GOPR0356_frame_000000']
    semantic = night[0].semantic
    assert semantic is not None
    assert semantic[9, 5] == CAR
    train = open_dataset('dark_zurich', zurich, 'train')
    assert [train[index].domain for index in range(6)] == ['day', 'day', 'twilight', 'twilight', 'night', 'night']
    for index in range(6):
        require_no_labels(train[index])
    assert list(open_dataset('dark_zurich', zurich, 'val_ref', 'day').scenes) == ['GOPR0356_ref']


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda root: cv2.imwrite(str(root / LABEL), np.full((HEIGHT, WIDTH), 34, np.uint8)),
            r'000001_gt_labelIds\.png: holds label 34, labelIds are 0 to 33',
        ),
        (
            lambda root: cv2.imwrite(str(root / LABEL), np.full((HEIGHT, WIDTH), 7, np.uint16)),
            'uint16 numbers, needs uint8',
        ),
        (lambda root: cv2.imwrite(str(root / LABEL), np.zeros((4, 4), np.uint8)), 'label and picture must match'),
        (lambda root: cv2.imwrite(str(root / LABEL), np.zeros((HEIGHT, WIDTH, 3), np.uint8)), 'has shape'),
        (lambda root: (root / LABEL).write_bytes(b''), r'gt_labelIds\.png: cannot be decoded'),
        (lambda root: (root / PICTURE).write_bytes((root / PICTURE).read_bytes()[:50]), r'rgb_anon\.png: cannot be'),
    ],
)
def test_a_damaged_file_is_named(acdc: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(acdc)
    with pytest.raises(DataError, match=message):
        open_dataset('acdc', acdc, 'train', 'fog')[1]


def test_a_missing_label_is_found_at_once(acdc: Path) -> None:
    (acdc / LABEL).unlink()
    with pytest.raises(DataError, match=r'GOPR0475_frame_000001_gt_labelIds\.png: no such file; unpack'):
        open_dataset('acdc', acdc, 'train')


def test_a_drive_without_labels_among_others_with_them_is_refused(acdc: Path) -> None:
    for path in sorted((acdc / 'gt/fog/train/GP010476').iterdir()):
        path.unlink()
    (acdc / 'gt/fog/train/GP010476').rmdir()
    with pytest.raises(DataError, match=r'train.GP010476: no such folder; the root must hold rgb_anon'):
        open_dataset('acdc', acdc, 'train', 'fog')


def test_a_wrong_tree_or_domain_says_what_to_do(acdc: Path, zurich: Path) -> None:
    with pytest.raises(DataError, match="acdc has the domains fog, night, rain, snow, not 'day'; leave it out"):
        open_dataset('acdc', acdc, 'train', 'day')
    with pytest.raises(DataError, match="dark_zurich has the domains day, twilight, night, not 'fog'"):
        open_dataset('dark_zurich', zurich, 'train', 'fog')
    with pytest.raises(DataError, match=r'snow.train: no folder of a drive; the root must hold rgb_anon/DOMAIN/SPLIT'):
        open_dataset('acdc', acdc, 'train', 'snow')
    with pytest.raises(DataError, match='rgb_anon: holds none of fog/trian, night/trian'):
        open_dataset('acdc', acdc, 'trian')
    with pytest.raises(DataError, match=r'rgb_anon: holds none of train/day, .*; the root must hold rgb_anon/SPLIT'):
        open_dataset('dark_zurich', acdc, 'train')
    (acdc / 'rgb_anon/fog/train/GOPR0001').mkdir()
    with pytest.raises(DataError, match=r'GOPR0001: no file ends in _anon\.png'):
        open_dataset('acdc', acdc, 'train', 'fog')
