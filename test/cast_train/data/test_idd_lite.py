# SPDX-License-Identifier: Apache-2.0
"""IDD-Lite in both layouts, its splits by drive, and trees that are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_road import HEIGHT, WIDTH, draw_idd_flat, draw_idd_published, grey, idd_label, write

from cast_train.data import open_dataset
from cast_train.errors import DataError


def test_the_published_layout_opens(tmp_path: Path) -> None:
    draw_idd_published(tmp_path)
    pictures = open_dataset('idd_lite', tmp_path, 'train')
    assert list(pictures.names) == ['0_024541', '7_000001']
    assert list(pictures.scenes) == ['0', '7']
    sample = pictures[0]
    np.testing.assert_array_equal(sample.semantic, idd_label())
    assert sample.instance_ids is None


def test_the_flat_layout_parts_drives_and_never_divides_one(tmp_path: Path) -> None:
    draw_idd_flat(tmp_path, [str(drive) for drive in range(20)], bare=['77', '78'])
    parts = {split: open_dataset('idd_lite', tmp_path, split) for split in ('train', 'val', 'all', 'unlabelled')}
    assert {split: len(part) for split, part in parts.items()} == {'train': 34, 'val': 6, 'all': 40, 'unlabelled': 4}
    assert not {*parts['train'].scenes} & {*parts['val'].scenes}
    assert {*parts['train'].names} | {*parts['val'].names} == {*parts['all'].names}
    assert {*parts['unlabelled'].scenes} == {'77', '78'}
    assert parts['unlabelled'][0].semantic is None
    assert parts['val'][0].semantic is not None


def test_the_split_is_fixed_and_new_drives_do_not_shuffle_the_old_ones(tmp_path: Path) -> None:
    draw_idd_flat(tmp_path, [str(drive) for drive in range(20)])
    before = {*open_dataset('idd_lite', tmp_path, 'val').scenes}
    assert before == {'1', '17', '8'}
    draw_idd_flat(tmp_path, [str(drive) for drive in range(26)])
    after = {*open_dataset('idd_lite', tmp_path, 'val').scenes}
    assert len(after) == 4
    assert len(before & after) >= 2


def test_labels_of_the_road_are_exact_or_unions(tmp_path: Path) -> None:
    draw_idd_flat(tmp_path)
    pictures = open_dataset('idd_lite', tmp_path, 'all', class_map='road')
    sample = pictures[0]
    assert sample.semantic is not None
    assert sample.union_ids is not None
    names = [entry.name for entry in pictures.classes]
    # From above: sky, far, roadside, vehicles, living, non-drivable.
    exact = [names[label] if label != 255 else '' for label in sample.semantic[::4, 0].tolist()]
    assert exact == ['sky', '', '', '', 'person', 'sidewalk']
    unions = [{names[c] for c in sample.unions[k - 1]} if k else set() for k in sample.union_ids[::4, 0].tolist()]
    assert unions == [
        set(),
        {'building', 'vegetation'},
        {'fence', 'pole', 'traffic sign'},
        {'car', 'truck', 'bus', 'motorcycle', 'bicycle'},
        set(),
        set(),
    ]
    assert not sample.union_ids[:, -2:].any(), 'void is no union'
    assert (sample.semantic[:, -2:] == 255).all()


@pytest.mark.parametrize(
    ('label', 'message'),
    [
        (np.full((HEIGHT, WIDTH), 26, np.uint8), r'1_10\.png: holds label 26, IDD-Lite has 0 to 6 and 255; take the'),
        (np.zeros((HEIGHT, WIDTH), np.uint16), r'1_10\.png: holds uint16 numbers, needs uint8'),
        (np.zeros((HEIGHT, 9), np.uint8), r'1_10\.png: has shape \(24, 9\), its picture has \(24, 40\)'),
    ],
)
def test_a_wrong_label_is_named(tmp_path: Path, label: np.ndarray, message: str) -> None:
    draw_idd_flat(tmp_path)
    write(tmp_path / 'labels' / '1_10.png', label)
    with pytest.raises(DataError, match=message):
        open_dataset('idd_lite', tmp_path, 'all')[0]


def test_a_label_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    draw_idd_flat(tmp_path)
    path = tmp_path / 'labels' / '1_10.png'
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r'1_10\.png: cannot be decoded as a picture, or is cut short; fetch it again'):
        open_dataset('idd_lite', tmp_path, 'all')[0]


def test_broken_trees_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'leftImg8bit/train: no such folder; the root must hold leftImg8bit/ and gtF'):
        open_dataset('idd_lite', tmp_path, 'train')
    draw_idd_published(tmp_path)
    (tmp_path / 'gtFine' / 'train' / '7' / '000001_label.png').unlink()
    with pytest.raises(DataError, match=r'7/000001_label\.png: no such file; unpack the labels completely, or remove'):
        open_dataset('idd_lite', tmp_path, 'train')
    with pytest.raises(DataError, match='idd_lite has no domains'):
        open_dataset('idd_lite', tmp_path, 'train', 'day')


def test_broken_flat_trees_say_what_to_do(tmp_path: Path) -> None:
    draw_idd_flat(tmp_path)
    with pytest.raises(DataError, match="there is no split 'test'; a data set in one piece has train, val and all"):
        open_dataset('idd_lite', tmp_path, 'test')
    with pytest.raises(DataError, match='every picture has a label; take the split train, val or all'):
        open_dataset('idd_lite', tmp_path, 'unlabelled')
    write(tmp_path / 'labels' / '9_10.png', idd_label())
    with pytest.raises(DataError, match=r'9_10\.png: has no picture in .*images; fetch it, or remove the label'):
        open_dataset('idd_lite', tmp_path, 'train')
    (tmp_path / 'labels' / '9_10.png').unlink()
    write(tmp_path / 'images' / 'holiday.jpg', grey())
    with pytest.raises(DataError, match=r'holiday\.jpg: a name must be DRIVE_FRAME, since drives decide the split'):
        open_dataset('idd_lite', tmp_path, 'train')
