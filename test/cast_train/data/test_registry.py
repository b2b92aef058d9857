# SPDX-License-Identifier: Apache-2.0
"""The table of data sets: every name opens, every tree says its classes, and what is wrong is said before that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_ade20k import draw_ade20k
from drawn_cityscapes import draw_cityscapes
from drawn_coco import coco_document, draw_coco
from drawn_drives import draw_acdc, draw_dark_zurich
from drawn_nyuv2 import draw_nyuv2
from drawn_road import draw_idd_flat, draw_pennfudan, draw_pictures
from drawn_streets import draw_streets
from drawn_synthia import draw_synthia
from drawn_vkitti2 import draw_vkitti2
from tiny_recipe import tiny_recipe

from cast_ros.student import InputSpec, StudentContract
from cast_train.data import DATASETS, classes_of, common_classes, open_dataset
from cast_train.engine.fitting import fit
from cast_train.engine.trained import load_student
from cast_train.errors import DataError
from cast_train.export.run import provenance_of

TREES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    'acdc': (draw_acdc, 'train', 'fog'),
    'ade20k': (lambda root: draw_ade20k(root, 'training', 1), 'training', ''),
    'cityscapes': (lambda root: draw_cityscapes(root, 'train', 'ulm', 1), 'train', ''),
    'coco': (lambda root: draw_coco(root, 'train'), 'train', ''),
    'dark_zurich': (draw_dark_zurich, 'val', 'night'),
    'idd_lite': (draw_idd_flat, 'all', ''),
    'nyuv2': (lambda root: draw_nyuv2(root, 'train', ['1']), 'train', ''),
    'nyuv2_13': (lambda root: draw_nyuv2(root, 'train', ['1'], labels='label13'), 'train', ''),
    'pennfudan': (draw_pennfudan, 'all', ''),
    'pictures': (draw_pictures, 'all', 'pseudo'),
    'streets': (lambda root: draw_streets(root, 'train', 'day', 1), 'train', 'day'),
    'synthia': (lambda root: draw_synthia(root, 1), 'all', ''),
    'vkitti2': (lambda root: draw_vkitti2(root, 'Scene01', 'clone', 1), 'all', 'clone'),
}


@pytest.mark.parametrize('name', TREES)
def test_a_sample_agrees_with_its_data_set(tmp_path: Path, name: str) -> None:
    draw, split, domain = TREES[name]
    draw(tmp_path)
    pictures = open_dataset(name, tmp_path, split, domain)
    sample = pictures[0]
    height, width = sample.image.shape[:2]
    assert sample.name == pictures.names[0]
    assert len(pictures) == len(pictures.names) == len(pictures.scenes)
    assert (sample.instance_ids is None) == (sample.instance_labels is None) == (sample.instance_is_crowd is None)
    assert sample.instance_ids is not None or sample.semantic is not None
    if sample.instance_ids is not None and sample.instance_labels is not None:
        assert sample.instance_ids.shape == (height, width)
        rows = sorted(set(sample.instance_ids.ravel().tolist()) - {0})
        assert rows == list(range(1, len(sample.instance_labels) + 1))
        assert all(pictures.classes[label].is_thing for label in sample.instance_labels)
    for label in (sample.semantic, sample.depth_m):
        assert label is None or label.shape == (height, width)
    if sample.semantic is not None:
        assert set(sample.semantic.ravel().tolist()) <= {*range(len(pictures.classes)), 255}


def test_every_name_has_a_drawn_tree_here_but_those_with_tests_of_their_own() -> None:
    assert {*DATASETS} - {'camvid', 'frames', 'kitti_lidar'} == {*TREES}


@pytest.mark.parametrize('name', TREES)
def test_the_classes_make_a_contract(tmp_path: Path, name: str) -> None:
    draw, split, domain = TREES[name]
    draw(tmp_path)
    classes = classes_of(name, tmp_path, split, domain)
    assert classes == open_dataset(name, tmp_path, split, domain).classes
    contract = StudentContract(
        name='x', version='1', license='x', input=InputSpec(height=32, width=32), classes=classes, outputs=('semantic',)
    )
    assert contract.classes == classes


def test_fixed_classes_need_no_tree(tmp_path: Path) -> None:
    assert len(classes_of('cityscapes', tmp_path / 'absent', 'train')) == 19
    with pytest.raises(DataError, match=r'absent: no such folder; say where the coco pictures lie'):
        classes_of('coco', tmp_path / 'absent', 'train')


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'kitti'; known are acdc, ade20k, camvid, .*, vkitti2"):
        open_dataset('kitti', tmp_path, 'train')
    assert sorted(DATASETS) == list(DATASETS)


def test_parts_must_agree_on_their_classes(tmp_path: Path) -> None:
    other, fewer = coco_document(), coco_document()
    other['categories'][0]['name'] = 'tiger'
    fewer['categories'].pop(0)
    fewer['annotations'] = []
    for split, document in (('one', None), ('two', None), ('other', other), ('fewer', fewer)):
        draw_coco(tmp_path, split, document)
    parts = {split: open_dataset('coco', tmp_path, split).classes for split in ('one', 'two', 'other', 'fewer')}
    assert [entry.name for entry in common_classes([parts['one'], parts['two']])] == ['dog', 'cat']
    with pytest.raises(DataError, match='disagree on a class, cat and tiger'):
        common_classes([parts['one'], parts['two'], parts['other']])
    with pytest.raises(DataError, match='disagree on a class, cat and nothing'):
        common_classes([parts['one'], parts['fewer']])


def test_a_student_learns_a_set_whose_classes_its_file_names(tmp_path: Path) -> None:
    data_root = tmp_path / 'data'
    draw_coco(data_root, 'train')
    part = [{'split': 'train'}]
    data = {'dataset': 'coco', 'root': str(data_root), 'train': part, 'validation': part}
    fit(tiny_recipe(data_root, steps=1, data=data), tmp_path / 'run', resume=False)
    student, recipe, state = load_student(tmp_path / 'run')
    assert [entry.name for entry in student.contract.classes] == ['dog', 'cat']
    assert provenance_of(recipe, state)['data'] == 'coco train'
    data_root.rename(tmp_path / 'moved')
    moved, recipe, _ = load_student(tmp_path / 'run', tmp_path / 'moved')
    assert moved.contract.classes == student.contract.classes
    assert recipe.data.root == tmp_path / 'moved'
