# SPDX-License-Identifier: Apache-2.0
"""COCO's format: every kind of segmentation, and every kind of mistake with its annotation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_coco import CAT, DOG, HEIGHT, WIDTH, coco_document, draw_coco, runs_of
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given
from hypothesis import strategies as st

from cast_train.data import LazySamples, open_dataset
from cast_train.data.coco_masks import check_segmentation, decode_segmentation
from cast_train.errors import DataError

Document = dict[str, Any]
NAN = float('nan')


def test_classes_are_the_files_categories_in_the_order_of_their_ids(tmp_path: Path) -> None:
    draw_coco(tmp_path, 'train')
    classes = open_dataset('coco', tmp_path, 'train').classes
    assert [(entry.id, entry.name, entry.is_thing) for entry in classes] == [(0, 'dog', True), (1, 'cat', True)]
    assert classes[0].color != classes[1].color


def test_the_smaller_mask_lies_on_top_and_groups_are_crowds(tmp_path: Path) -> None:
    draw_coco(tmp_path, 'train')
    pictures = open_dataset('coco', tmp_path, 'train')
    assert list(pictures.names) == list(pictures.scenes) == ['a', 'b']
    sample = pictures[0]
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    assert sample.instance_is_crowd is not None
    rows = sample.instance_ids[[0, 5, 7, 3], [0, 5, 7, 28]].tolist()
    assert rows == [0, 2, 3, 1]
    assert sample.instance_labels.tolist() == [1, 0, 1]
    assert sample.instance_is_crowd.tolist() == [True, False, False]
    assert int((sample.instance_ids == 3).sum()) == 9
    assert int((sample.instance_ids == 2).sum()) == 100 - 9
    assert sample.semantic is None


def test_a_picture_without_annotations_stays(tmp_path: Path) -> None:
    draw_coco(tmp_path, 'train')
    sample = open_dataset('coco', tmp_path, 'train')[1]
    assert sample.instance_labels is not None
    assert sample.instance_labels.shape == (0,)
    assert sample.instance_ids is not None
    assert not sample.instance_ids.any()


def test_an_instance_that_lies_under_another_has_no_row(tmp_path: Path) -> None:
    document = coco_document()
    document['annotations'][0]['segmentation'] = document['annotations'][1]['segmentation']
    draw_coco(tmp_path, 'train', document)
    sample = open_dataset('coco', tmp_path, 'train')[0]
    assert sample.instance_labels is not None
    assert len(sample.instance_labels) == 2
    assert sample.instance_ids is not None
    assert int(sample.instance_ids.max()) == 2


def test_pictures_of_one_video_are_one_scene(tmp_path: Path) -> None:
    document = coco_document()
    for image in document['images']:
        image['video_id'] = 12
    draw_coco(tmp_path, 'train', document)
    assert list(open_dataset('coco', tmp_path, 'train').scenes) == ['12', '12']


@pytest.mark.parametrize('place', ['train/_annotations.coco.json', 'annotations/train.json'])
def test_the_layouts_of_annotation_tools_open(tmp_path: Path, place: str) -> None:
    path = draw_coco(tmp_path, 'train')
    if place.startswith('annotations'):
        (tmp_path / 'train').rename(tmp_path / 'images')
    path.rename(tmp_path / place)
    assert len(open_dataset('coco', tmp_path, 'train')) == 2


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 29)), max_size=40))
def test_runs_decode_as_the_usual_tools_encode_them(points: list[tuple[int, int]]) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for row, column in points:
        mask[row : row + 3, column : column + 5] = 1
    counts = coco_mask.encode(np.asfortranarray(mask))['counts']
    text = counts.decode() if isinstance(counts, bytes) else counts
    compact = check_segmentation({'size': [HEIGHT, WIDTH], 'counts': text}, HEIGHT, WIDTH)
    assert np.array_equal(decode_segmentation(compact, HEIGHT, WIDTH), mask.astype(bool))


def test_polygons_of_several_parts_are_one_mask() -> None:
    parts = [[0, 0, 4, 0, 4, 4, 0, 4], [10, 10, 14.0, 10, 14, 14, 10, 14]]
    mask = decode_segmentation(check_segmentation(parts, HEIGHT, WIDTH), HEIGHT, WIDTH)
    assert int(mask.sum()) == 32
    assert mask[1, 1]
    assert mask[11, 11]
    assert not mask[7, 7]


def annotation(**changes: Any) -> Callable[[Document], object]:
    return lambda document: document['annotations'][1].update(changes)


def image(**changes: Any) -> Callable[[Document], object]:
    return lambda document: document['images'][0].update(changes)


def runs(counts: object) -> dict[str, object]:
    return {'size': [HEIGHT, WIDTH], 'counts': counts}


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (annotation(id=1), 'annotation 1 has no id, or another has the same'),
        (annotation(id=None), 'annotation None has no id'),
        (annotation(image_id=[4]), r'is of image \[4\]'),
        (annotation(image_id=99), 'annotation 2 is of image 99, which is not there'),
        (annotation(category_id=99), 'annotation 2 has category 99; known are 3, 17'),
        (annotation(category_id=[1]), r'annotation 2 has category \[1\]'),
        (annotation(segmentation=[[1, 1, 5, 5]]), 'annotation 2: a polygon has 4 numbers'),
        (annotation(segmentation=[[1, 1, 5, 5, 6, 6, 7]]), 'a polygon has 7 numbers'),
        (annotation(segmentation=[[1, 1, 5, 5, 6, 'x']]), 'something else than numbers'),
        (annotation(segmentation=[[[1, 1], [5, 5], [6, 6], [1, 2], [3, 4], [5, 6]]]), 'one flat list'),
        (annotation(segmentation=[[1, 1, 5, 5, 60, 6]]), 'reaches x 1 to 60, its picture 30'),
        (annotation(segmentation=[[1, -9, 5, 5, 6, 6]]), 'reaches y -9 to 6, its picture 20'),
        (annotation(segmentation=[[1, NAN, 5, 5, 6, 6]]), 'reaches y nan'),
        (annotation(segmentation=[]), 'annotation 2: it has no segmentation'),
        (annotation(segmentation=None), 'it has no segmentation'),
        (annotation(segmentation={'size': [9, 9], 'counts': []}), r'has size \[9, 9\], its picture \[20, 30\]'),
        (annotation(segmentation=runs([1, -2, 601])), 'must be a string or a list of whole numbers'),
        (annotation(segmentation=runs([1.5])), 'must be a string or a list of whole numbers'),
        (image(id=4), "image 4 'a.jpg' stands there twice"),
        (image(file_name='a.jpg'), "image 4 'a.jpg' stands there twice"),
        (image(file_name='c.jpg'), r'c\.jpg: no such picture, image 5'),
        (image(file_name='../c.jpg'), 'must lie below'),
        (image(file_name=''), 'needs an id and a file_name'),
        (image(height=0), 'has height 0 and width 30'),
        (image(width='30'), 'write those of the picture'),
        (lambda file: file['categories'].append({'id': 3, 'name': 'bird'}), "category 3 'bird' stands there twice"),
        (lambda file: file['categories'].append({'id': 4, 'name': 'dog'}), "category 4 'dog' stands there twice"),
        (lambda file: file['categories'].append({'name': 'dog'}), 'needs a whole number as id'),
        (lambda file: file['categories'].clear(), "its list 'categories' is empty"),
        (lambda file: file['images'].clear(), "its list 'images' is empty"),
        (lambda file: file.pop('annotations'), "needs a list of objects 'annotations'"),
        (lambda file: file['categories'].extend({'id': i, 'name': str(i)} for i in range(90, 350)), 'merge some'),
    ],
)
def test_a_mistake_is_found_when_the_file_is_opened(
    tmp_path: Path, damage: Callable[[Document], object], message: str
) -> None:
    document = coco_document()
    damage(document)
    path = draw_coco(tmp_path, 'train', document)
    with pytest.raises(DataError, match=message) as found:
        open_dataset('coco', tmp_path, 'train')
    assert str(path) in str(found.value)


@pytest.mark.parametrize('counts', [[1, 2], [601], 'abc', '~~~~', 'é', 'o' * 40, '', '000000'])
def test_damaged_runs_name_their_annotation(tmp_path: Path, counts: object) -> None:
    document = coco_document()
    document['annotations'][1]['segmentation'] = runs(counts)
    draw_coco(tmp_path, 'train', document)
    with pytest.raises(DataError, match=r'instances_train\.json: annotation 2: the .*runs of its mask'):
        open_dataset('coco', tmp_path, 'train')[0]


@pytest.mark.parametrize('text', ['', '[]', '{"images": 3}', '{"images": [1]}', '{'])
def test_an_unusable_file_is_named(tmp_path: Path, text: str) -> None:
    draw_coco(tmp_path, 'train').write_text(text)
    with pytest.raises(DataError, match=r'instances_train\.json: (cannot be read as JSON|needs a list of objects)'):
        open_dataset('coco', tmp_path, 'train')


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    draw_coco(tmp_path, 'train')
    cv2.imwrite(str(tmp_path / 'train/a.jpg'), np.zeros((WIDTH, HEIGHT, 3), np.uint8))
    with pytest.raises(DataError, match=r'a\.jpg: has shape \(30, 20\), instances_train\.json says \(20, 30\)'):
        open_dataset('coco', tmp_path, 'train')[0]


def test_a_cut_picture_is_named(tmp_path: Path) -> None:
    draw_coco(tmp_path, 'train')
    path = tmp_path / 'train/a.jpg'
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r'a\.jpg: cannot be decoded as a picture, or is cut short'):
        open_dataset('coco', tmp_path, 'train')[0]


def test_a_wrong_tree_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'holds none of annotations/instances_val\.json, val/_annotations\.coco\.json'):
        open_dataset('coco', tmp_path, 'val')
    path = draw_coco(tmp_path, 'train')
    path.with_name('instances_val.json').write_text(json.dumps(coco_document()))
    with pytest.raises(DataError, match=r'val: no such folder; .*instances_val\.json needs its pictures there'):
        open_dataset('coco', tmp_path, 'val')
    with pytest.raises(DataError, match='leave the domain out'):
        open_dataset('coco', tmp_path, 'train', 'day')


def test_real_pictures_load(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / 'real' / 'coco128_seg'
    document: Document = {'images': [], 'annotations': [], 'categories': [{'id': i, 'name': str(i)} for i in range(80)]}
    for number, path in enumerate(sorted(source.glob('images/**/*.jpg'))[:12]):
        height, width = cv2.imread(str(path)).shape[:2]
        document['images'].append({'id': number, 'file_name': path.name, 'height': height, 'width': width})
        labels = next(source.glob(f'labels/**/{path.stem}.txt'))
        for line in labels.read_text().splitlines():
            category, *shares = line.split()
            polygon = [float(share) * (height if place % 2 else width) for place, share in enumerate(shares)]
            document['annotations'].append(
                {
                    'id': len(document['annotations']),
                    'image_id': number,
                    'category_id': int(category),
                    'segmentation': [polygon],
                }
            )
    (tmp_path / 'images').symlink_to(next(source.glob('images/**/*.jpg')).parent.resolve())
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/all.json').write_text(json.dumps(document))
    pictures = open_dataset('coco', tmp_path, 'all')
    found = sum(len(sample.instance_labels) for sample in LazySamples([pictures]) if sample.instance_labels is not None)
    assert len(pictures) == 12
    assert 0.9 * len(document['annotations']) <= found <= len(document['annotations'])


def test_the_drawn_runs_are_what_they_should_be() -> None:
    mask = decode_segmentation(runs_of(slice(6, 9), slice(6, 9))['counts'], HEIGHT, WIDTH)
    assert mask[6:9, 6:9].all()
    assert int(mask.sum()) == 9
    assert (CAT, DOG) == (17, 3)


def test_one_file_for_all_pictures_is_parted_always_alike(tmp_path: Path) -> None:
    document = coco_document()
    draw_coco(tmp_path, 'images', document)
    (tmp_path / 'annotations.json').write_text(json.dumps(document))
    assert list(open_dataset('coco', tmp_path, 'all').names) == ['a', 'b']
    train, val = (open_dataset('coco', tmp_path, split) for split in ('train', 'val'))
    assert (len(train), len(val)) == (1, 1)
    assert {*train.names} | {*val.names} == {'a', 'b'}
    with pytest.raises(DataError, match="there is no split 'test'; a data set in one piece has train, val and all"):
        open_dataset('coco', tmp_path, 'test')
