# SPDX-License-Identifier: Apache-2.0
"""The loader of imported frames, on whole and on broken trees."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_bags import TOPIC, drive, write_bag, write_labelled_bag
from rich.console import Console

from cast_train.data import open_dataset
from cast_train.data.bag_import import import_bag
from cast_train.data.bag_plan import ImportSettings
from cast_train.errors import DataError


def imported(bag: Path, out: Path, **settings: Any) -> Path:
    import_bag(bag, out, ImportSettings(topic=TOPIC, **settings), Console(file=io.StringIO()))
    return out


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return imported(write_labelled_bag(tmp_path / 'drive', 30), tmp_path / 'out', domain='day')


def changed(tree: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = tree / 'frames.json'
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_splits_divide_the_frames_and_a_sample_has_the_name_of_its_place(tree: Path) -> None:
    train, val = (open_dataset('frames', tree, split, 'day') for split in ('train', 'val'))
    assert set(train.names) & set(val.names) == set()
    assert len(train.names) == len(train.scenes) == len(train) > len(val) > 0
    assert train[3].name == train.names[3]
    assert all(scene.startswith('drive_00') for scene in train.scenes)


def test_no_domain_means_all_of_them(tree: Path) -> None:
    assert open_dataset('frames', tree, 'train').names == open_dataset('frames', tree, 'train', 'day').names


@pytest.mark.parametrize(('split', 'domain'), [('test', 'day'), ('train', 'night')])
def test_a_split_or_domain_that_is_not_there_lists_those_that_are(tree: Path, split: str, domain: str) -> None:
    with pytest.raises(DataError, match=rf'no frame of {split} {domain}; it has: \d+ of train day, \d+ of val day'):
        open_dataset('frames', tree, split, domain)


def test_where_nothing_validates_it_says_how_to_get_something(tmp_path: Path) -> None:
    imported(write_bag(tmp_path / 'one', drive(1)), tmp_path / 'frames')
    with pytest.raises(DataError, match=r'no frame of val; it has: 1 of train; import another recording'):
        open_dataset('frames', tmp_path / 'frames', 'val')


def test_several_imports_are_one_data_set_with_their_domains(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / 'all'
    root.mkdir()
    tree.rename(root / 'by_day')
    imported(write_bag(tmp_path / 'walk', drive(30)), root / 'by_night', domain='night')
    day, night, both = (open_dataset('frames', root, 'train', domain) for domain in ('day', 'night', ''))
    assert len(both) == len(day) + len(night)
    assert night.classes == day.classes
    assert set(day.scenes) | set(night.scenes) == set(both.scenes)
    assert {scene.split('/')[0] for scene in both.scenes} == {'by_day', 'by_night'}
    assert (day[0].domain, night[0].domain, night[0].semantic) == ('day', 'night', None)


def test_two_imports_of_one_bag_are_refused(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / 'all'
    root.mkdir()
    tree.rename(root / 'one')
    imported(tmp_path / 'drive', root / 'two', domain='night')
    with pytest.raises(DataError, match='more than one import has frames of drive'):
        open_dataset('frames', root, 'train', 'day')


def test_imports_with_other_classes_are_refused(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / 'all'
    root.mkdir()
    tree.rename(root / 'one')
    imported(write_bag(tmp_path / 'walk', drive(30)), root / 'two', classes='streets')
    with pytest.raises(DataError, match='have different classes; import both with the same --classes'):
        open_dataset('frames', root, 'train', 'day')


def test_frames_without_classes_are_read_but_cannot_say_them(tmp_path: Path) -> None:
    pictures = open_dataset('frames', imported(write_bag(tmp_path / 'drive', drive(30)), tmp_path / 'out'), 'train')
    assert pictures[0].image.shape == (48, 64, 3)
    with pytest.raises(DataError, match=r'these frames have no classes; .*--classes DATASET'):
        _ = pictures.classes


def test_a_folder_that_is_no_import_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'no frames\.json in it or one level below; .*import-bag'):
        open_dataset('frames', tmp_path, 'train')


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'', 'JSON'),
        (b'{"schema": "1.0"}', 'bag: Field required'),
        (b'[]', 'object'),
        (b'\xff\xfe', 'JSON'),
    ],
)
def test_a_broken_manifest_is_named(tree: Path, content: bytes, said: str) -> None:
    (tree / 'frames.json').write_bytes(content)
    with pytest.raises(DataError, match=rf'frames\.json: .*{said}'):
        open_dataset('frames', tree, 'train')


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda document: document.update(schema='2.0'), 'schema'),
        (lambda document: document['frames'][0].update(name='../../etc/passwd'), 'frames.0.name'),
        (lambda document: document['frames'][0].update(camera=7), 'has camera 7 of 1'),
        (lambda document: document['frames'][0].update(split='test'), "'train' or 'val'"),
        (lambda document: document.update(labels=None), 'nothing says how to read them'),
        (lambda document: document['labels']['class_ids'].update({'7': 9}), 'names a class that is not there'),
        (lambda document: document['classes'].reverse(), 'class ids must run from 0'),
        (lambda document: document['cameras'][0].update(fx_px=0), 'cameras.0.fx_px'),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tree: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    changed(tree, change)
    with pytest.raises(DataError, match=said):
        open_dataset('frames', tree, 'train')


@pytest.mark.parametrize('kind', ['image', 'instances', 'depth'])
def test_a_missing_file_is_found_when_the_set_is_opened(tree: Path, kind: str) -> None:
    name = open_dataset('frames', tree, 'train').names[0]
    (tree / kind / f'{name}.png').unlink()
    with pytest.raises(DataError, match=rf'{kind}.{name}\.png: no such file'):
        open_dataset('frames', tree, 'train')
    shutil.rmtree(tree / kind)
    with pytest.raises(DataError, match=f'{kind}: no such folder'):
        open_dataset('frames', tree, 'train')


@pytest.mark.parametrize('kind', ['image', 'instances', 'depth'])
def test_a_file_of_another_size_or_cut_short_is_found_when_it_is_read(tree: Path, kind: str) -> None:
    pictures = open_dataset('frames', tree, 'train')
    path = tree / kind / f'{pictures.names[0]}.png'
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r'\.png: cannot be decoded'):
        pictures[0]
    cv2.imwrite(
        str(path), np.zeros((8, 8, 3) if kind == 'image' else (8, 8), np.uint8 if kind == 'image' else np.uint16)
    )
    with pytest.raises(DataError, match=r'\.png: has shape \(8, 8\)'):
        pictures[0]


def test_a_label_of_eight_bits_is_refused(tree: Path) -> None:
    pictures = open_dataset('frames', tree, 'train')
    cv2.imwrite(str(tree / 'instances' / f'{pictures.names[0]}.png'), np.zeros((48, 64), np.uint8))
    with pytest.raises(DataError, match='holds uint8 numbers, needs uint16'):
        pictures[0]
