# SPDX-License-Identifier: Apache-2.0
"""Penn-Fudan in both layouts: people, not all of them, and trees that are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_road import HEIGHT, WIDTH, draw_pennfudan, people, write

from cast_train.data import open_dataset
from cast_train.errors import DataError


@pytest.mark.parametrize('published', [True, False])
def test_both_layouts_have_people_of_whom_not_all_are_labelled(tmp_path: Path, published: bool) -> None:
    draw_pennfudan(tmp_path, published=published)
    pictures = open_dataset('pennfudan', tmp_path, 'all')
    sample = pictures[4]
    assert sample.name == pictures.names[4] == 'FudanPed00005'
    np.testing.assert_array_equal(sample.instance_ids, people())
    assert sample.instance_labels is not None
    assert sample.instance_labels.tolist() == [0, 0]
    assert sample.complete == (), 'unlabelled is not nobody'
    assert sample.semantic is None


def test_people_stay_incomplete_on_the_road(tmp_path: Path) -> None:
    draw_pennfudan(tmp_path)
    pictures = open_dataset('pennfudan', tmp_path, 'all', class_map='road')
    sample = pictures[0]
    assert sample.instance_labels is not None
    assert [pictures.classes[label].name for label in sample.instance_labels] == ['person', 'person']
    assert sample.complete == ()


def test_train_and_val_part_the_pictures_always_alike(tmp_path: Path) -> None:
    draw_pennfudan(tmp_path, 20)
    train, val = (open_dataset('pennfudan', tmp_path, split) for split in ('train', 'val'))
    assert (len(train), len(val)) == (16, 4)
    assert not {*train.names} & {*val.names}
    assert list(val.names) == list(open_dataset('pennfudan', tmp_path, 'val').names)


def test_a_picture_without_anybody_is_fine_and_one_with_gaps_is_not(tmp_path: Path) -> None:
    draw_pennfudan(tmp_path)
    write(tmp_path / 'instances' / 'FudanPed00001.png', np.zeros((HEIGHT, WIDTH), np.uint8))
    assert open_dataset('pennfudan', tmp_path, 'all')[0].instance_labels is not None
    write(tmp_path / 'instances' / 'FudanPed00001.png', people() * 100)
    with pytest.raises(DataError, match=r'FudanPed00001\.png: numbers its people \[100, 200\], not 1 to 2; fetch the'):
        open_dataset('pennfudan', tmp_path, 'all')[0]


def test_broken_trees_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='has neither PNGImages nor images; the root must hold PNGImages/ and PedMasks'):
        open_dataset('pennfudan', tmp_path, 'all')
    draw_pennfudan(tmp_path, published=True)
    (tmp_path / 'PedMasks' / 'FudanPed00002_mask.png').unlink()
    with pytest.raises(DataError, match=r'FudanPed00002_mask\.png: no such file; unpack the labels completely'):
        open_dataset('pennfudan', tmp_path, 'all')
    write(tmp_path / 'PedMasks' / 'FudanPed00002_mask.png', np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match=r'FudanPed00002_mask\.png: has shape \(5, 5\), its picture has \(24, 40\)'):
        open_dataset('pennfudan', tmp_path, 'all')[1]
