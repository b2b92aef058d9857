# SPDX-License-Identifier: Apache-2.0
"""CamVid's loader, on a tiny tree of the true shape and on the real pictures where they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cast_train.data import open_dataset
from cast_train.data.camvid import CLASSES
from cast_train.errors import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ('0001TP_006690', '0016E5_00390'):
        for folder in ('train', 'trainannot'):
            (tmp_path / folder).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'train' / f'{name}.jpg'), np.full((36, 48, 3), 90, np.uint8))
        label = np.full((36, 48), 3, np.uint8)
        label[0] = 11
        cv2.imwrite(str(tmp_path / 'trainannot' / f'{name}.png'), label)
    return tmp_path


def test_void_is_unlabelled_and_other_labels_are_absent(tree: Path) -> None:
    sample = open_dataset('camvid', tree, 'train', 'all')[0]
    assert sample.semantic is not None
    assert (sample.semantic[0] == 255).all()
    assert CLASSES[int(sample.semantic[5, 5])].name == 'road'
    assert sample.instance_ids is None
    assert sample.depth_m is None
    assert sample.fx_px is None


def test_the_drive_0001tp_is_dusk(tree: Path) -> None:
    assert [open_dataset('camvid', tree, 'train', domain)[0].name for domain in ('day', 'dusk')] == [
        '0016E5_00390',
        '0001TP_006690',
    ]
    assert open_dataset('camvid', tree, 'train', 'dusk')[0].domain == 'dusk'
    assert len(open_dataset('camvid', tree, 'train')) == 2
    with pytest.raises(DataError, match='all, day, dusk, dusk_early, dusk_late, not'):
        open_dataset('camvid', tree, 'train', 'night')


def test_the_dusk_drive_is_cut_in_time_with_a_gap(tree: Path) -> None:
    for number in range(23):
        for folder, suffix in (('train', 'jpg'), ('trainannot', 'png')):
            (tree / folder / f'0001TP_1{number:05d}.{suffix}').write_bytes(
                (tree / folder / f'0001TP_006690.{suffix}').read_bytes()
            )
    early, whole, late = (open_dataset('camvid', tree, 'train', part) for part in ('dusk_early', 'dusk', 'dusk_late'))
    assert list(early.names) == list(whole.names)[:7]
    assert list(late.names) == list(whole.names)[17:]
    assert len(whole) == 24


def test_a_drive_that_is_shorter_than_the_gap_has_no_halves(tree: Path) -> None:
    for number in range(7):
        (tree / 'train' / f'0001TP_2{number:05d}.jpg').write_bytes((tree / 'train' / '0001TP_006690.jpg').read_bytes())
    for part in ('dusk_early', 'dusk_late'):
        with pytest.raises(DataError, match=f'no picture of the domain {part!r}'):
            open_dataset('camvid', tree, 'train', part)


def test_a_label_beyond_void_is_refused_with_its_file(tree: Path) -> None:
    path = tree / 'trainannot' / '0016E5_00390.png'
    cv2.imwrite(str(path), np.full((36, 48), 40, np.uint8))
    with pytest.raises(DataError, match=r'0016E5_00390\.png: holds label 40'):
        open_dataset('camvid', tree, 'train', 'day')[0]


def test_the_real_pictures_load(shared_data: Path) -> None:
    root = shared_data / 'real' / 'camvid'
    assert len(open_dataset('camvid', root, 'train', 'all')) == 367
    assert len(open_dataset('camvid', root, 'train')) == 367
    assert len(open_dataset('camvid', root, 'train', 'day')) == 305
    assert len(open_dataset('camvid', root, 'train', 'dusk')) == 62
    sample = open_dataset('camvid', root, 'val', 'day')[0]
    assert sample.image.shape == (360, 480, 3)
