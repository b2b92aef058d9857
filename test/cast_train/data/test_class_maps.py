# SPDX-License-Identifier: Apache-2.0
"""Class maps: the published class sets, what becomes of labels and objects, and recipes that name a map."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_cityscapes import draw_cityscapes
from drawn_coco import draw_coco
from drawn_nyuv2 import draw_nyuv2
from drawn_streets import draw_streets
from drawn_synthia import draw_synthia
from drawn_vkitti2 import draw_vkitti2
from tiny_recipe import recipe_document, tiny_recipe

from cast_ros.student import ClassInfo
from cast_train.data import CLASS_MAPS, DATASETS, Mapped, Sample, classes_of, open_dataset
from cast_train.data.cityscapes import CLASSES
from cast_train.data.class_maps import targets_into
from cast_train.engine.fitting import fit
from cast_train.engine.trained import load_student
from cast_train.errors import DataError
from cast_train.export.run import provenance_of


def merged(class_map: str, dataset: str) -> dict[str, set[str]]:
    """Names of the classes of a data set that become each class of a map."""
    chosen, own = CLASS_MAPS[class_map], DATASETS[dataset].classes
    assert own is not None
    found: dict[str, set[str]] = {entry.name: set() for entry in chosen.classes}
    for source, target in chosen.ids_for(own, dataset).items():
        found[chosen.classes[target].name].add(own[source].name)
    return found


@pytest.mark.parametrize('name', CLASS_MAPS)
def test_a_map_is_closed_and_numbers_its_classes_from_zero(name: str) -> None:
    chosen = CLASS_MAPS[name]
    names = [entry.name for entry in chosen.classes]
    assert [entry.id for entry in chosen.classes] == list(range(len(names)))
    assert len(set(names)) == len(names)
    extra = {target for more in chosen.extra.values() for target in more.values()}
    assert {*chosen.targets.values(), *extra} == set(names)


@pytest.mark.parametrize(
    ('name', 'count', 'gone'),
    [
        ('cityscapes19', 19, set()),
        ('cityscapes16', 16, {'truck', 'terrain', 'train'}),
        ('cityscapes13', 13, {'truck', 'terrain', 'train', 'wall', 'fence', 'pole'}),
    ],
)
def test_the_sets_of_nineteen_sixteen_and_thirteen_nest(name: str, count: int, gone: set[str]) -> None:
    chosen = CLASS_MAPS[name]
    assert len(chosen.classes) == count
    assert [e.name for e in chosen.classes] == [e.name for e in CLASSES if e.name not in gone]
    of_cityscapes = {entry.name: entry for entry in CLASSES}
    for entry in chosen.classes:
        assert (entry.color, entry.is_thing) == (of_cityscapes[entry.name].color, of_cityscapes[entry.name].is_thing)


def test_synthia_has_all_of_the_sixteen_and_nothing_else_goes_in() -> None:
    found = merged('cityscapes16', 'synthia')
    assert found == {name: {name} for name in found}
    assert len(found) == 16


def test_eight_classes_are_densemtls_and_a_truck_counts_in_virtual_kitti_alone() -> None:
    assert merged('cityscapes8', 'cityscapes') == {
        'road': {'road'},
        'building': {'building'},
        'pole': {'pole'},
        'traffic light': {'traffic light'},
        'traffic sign': {'traffic sign'},
        'vegetation': {'vegetation'},
        'sky': {'sky'},
        'vehicle': {'car', 'bus'},
    }
    of_kitti = merged('cityscapes8', 'vkitti2')
    assert of_kitti['vehicle'] == {'truck', 'car', 'van'}
    assert of_kitti['vegetation'] == {'tree', 'vegetation'}
    assert 'truck' not in merged('cityscapes8', 'synthia')['vehicle']


def test_seven_classes_are_ctrls() -> None:
    assert merged('cityscapes7', 'cityscapes') == {
        'flat': {'road', 'sidewalk'},
        'construction': {'building', 'fence'},
        'object': {'pole', 'traffic light', 'traffic sign'},
        'nature': {'vegetation'},
        'sky': {'sky'},
        'human': {'person'},
        'vehicle': {'car', 'bicycle'},
    }
    assert merged('cityscapes7', 'synthia')['flat'] == {'road', 'sidewalk', 'lane marking'}


def test_classes_of_a_map_are_known_by_the_names_that_it_takes() -> None:
    into = targets_into(CLASS_MAPS['camvid11'].classes)
    assert (into['wall'], into['bus'], into['sky']) == ('building', 'car', 'sky')
    assert targets_into(CLASS_MAPS['camvid11'].classes[:5]) == {}


def test_every_class_of_streets_and_cityscapes_has_a_place_in_camvids_eleven() -> None:
    for dataset, classes in (('streets', 11), ('cityscapes', 19)):
        assert sum(len(sources) for sources in merged('camvid11', dataset).values()) == classes
    assert merged('camvid11', 'streets')['car'] == {'car', 'truck'}
    assert merged('camvid11', 'cityscapes')['bicycle'] == {'bicycle', 'rider', 'motorcycle'}
    assert merged('camvid11', 'camvid') == {entry.name: {entry.name} for entry in CLASS_MAPS['camvid11'].classes}


def test_labels_of_a_merged_class_become_it_and_others_become_unlabelled(tmp_path: Path) -> None:
    draw_cityscapes(tmp_path, 'train', 'ulm', 1)
    pictures = open_dataset('cityscapes', tmp_path, 'train', class_map='cityscapes7')
    sample = pictures[0]
    assert [entry.name for entry in pictures.classes][:2] == ['flat', 'construction']
    assert sample.semantic is not None
    assert sample.semantic.dtype == np.uint8
    flat, sky, human, vehicle = 0, 4, 5, 6
    assert sample.semantic[[13, 0, 15, 15, 31], [0, 0, 35, 5, 0]].tolist() == [flat, sky, human, vehicle, 255]
    assert list(pictures.names) == list(pictures.scenes) == ['ulm_000000_000019']
    assert len(pictures) == 1


def test_objects_whose_class_goes_lose_their_row_and_the_others_keep_theirs_without_gaps(tmp_path: Path) -> None:
    draw_cityscapes(tmp_path, 'train', 'ulm', 1)
    plain = open_dataset('cityscapes', tmp_path, 'train')[0]
    sample = open_dataset('cityscapes', tmp_path, 'train', class_map='cityscapes8')[0]
    assert plain.instance_labels is not None
    assert len(plain.instance_labels) == 2
    assert sample.instance_ids is not None
    assert sample.instance_ids.dtype == np.uint16
    assert sample.instance_labels is not None
    assert sample.instance_labels.dtype == np.int64
    assert sample.instance_is_crowd is not None
    assert sample.instance_labels.tolist() == [7]
    assert sample.instance_is_crowd.tolist() == [False]
    assert (sample.instance_ids[15, 5], sample.instance_ids[15, 35], sample.instance_ids.max()) == (1, 0, 1)
    assert sample.semantic is not None
    assert sample.semantic[15, 35] == 255


def test_objects_of_merged_things_stay_apart(tmp_path: Path) -> None:
    draw_vkitti2(tmp_path, 'Scene01', 'clone', 1)
    plain = open_dataset('vkitti2', tmp_path, 'all')[0]
    sample = open_dataset('vkitti2', tmp_path, 'all', class_map='cityscapes8')[0]
    assert sample.instance_labels is not None
    assert sample.instance_labels.tolist() == [7, 7, 7]
    np.testing.assert_array_equal(sample.instance_ids, plain.instance_ids)
    np.testing.assert_array_equal(sample.instance_is_crowd, plain.instance_is_crowd)
    np.testing.assert_array_equal(sample.depth_m, plain.depth_m)
    assert (sample.fx_px, sample.domain) == (plain.fx_px, 'clone')
    without = open_dataset('vkitti2', tmp_path, 'all', class_map='cityscapes16')[0]
    assert without.instance_labels is not None
    assert len(without.instance_labels) == 2, 'the truck is no class of the sixteen'


class Drawn:
    """One sample in memory."""

    def __init__(self, classes: tuple[ClassInfo, ...], sample: Sample) -> None:
        self.classes = classes
        self.names = self.scenes = [sample.name]
        self._sample = sample

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return [self._sample][index]


def test_rows_in_any_order_and_labels_that_are_absent_are_understood() -> None:
    names = ('person', 'boat', 'car')
    classes = tuple(ClassInfo(id=i, name=name, is_thing=True, color=(i, i, i)) for i, name in enumerate(names))
    ids = np.array([[0, 1, 2], [3, 4, 4]], np.uint16)
    image = np.zeros((2, 3, 3), np.uint8)
    sample = Sample('x', image, ids, np.array([1, 2, 1, 0]), np.array([False, True, False, False]))
    mapped = Mapped(Drawn(classes, sample), 'cityscapes7', 'coco')[0]
    assert mapped.instance_ids is not None
    assert mapped.instance_ids.tolist() == [[0, 0, 1], [0, 2, 2]]
    assert mapped.instance_labels is not None
    assert mapped.instance_labels.tolist() == [6, 5]
    assert mapped.instance_is_crowd is not None
    assert mapped.instance_is_crowd.tolist() == [True, False]
    assert mapped.semantic is None
    bare = Mapped(Drawn(classes, Sample('x', image)), 'cityscapes7', 'coco')[0]
    assert (bare.instance_ids, bare.instance_labels, bare.instance_is_crowd, bare.semantic) == (None,) * 4


def test_a_picture_without_objects_stays_without() -> None:
    empty = Sample('x', np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.uint16), np.zeros(0, np.int64))
    mapped = Mapped(Drawn(CLASSES, empty), 'cityscapes8', 'cityscapes')[0]
    assert mapped.instance_ids is not None
    assert not mapped.instance_ids.any()
    assert mapped.instance_labels is not None
    assert mapped.instance_labels.shape == (0,)


def test_things_that_become_stuff_are_objects_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_streets(tmp_path, 'train', 'day', 1)
    chosen = CLASS_MAPS['camvid11']
    stuff = tuple(entry.model_copy(update={'is_thing': False}) for entry in chosen.classes)
    monkeypatch.setitem(CLASS_MAPS, 'camvid11', type(chosen)(stuff, chosen.targets))
    sample = open_dataset('streets', tmp_path, 'train', 'day', 'camvid11')[0]
    assert sample.instance_ids is not None
    assert not sample.instance_ids.any()
    assert sample.instance_labels is not None
    assert len(sample.instance_labels) == 0


def test_a_map_that_shares_nothing_with_the_data_is_refused(tmp_path: Path) -> None:
    draw_nyuv2(tmp_path / 'rooms', 'train', ['1'], labels='label13')
    draw_coco(tmp_path / 'pets', 'train')
    with pytest.raises(DataError, match=r"'cityscapes13' has none of the classes of nyuv2_13 \(bed, books"):
        open_dataset('nyuv2_13', tmp_path / 'rooms', 'train', class_map='cityscapes13')
    with pytest.raises(DataError, match=r'none of the classes of coco \(dog, cat, …\); leave it out or take another'):
        open_dataset('coco', tmp_path / 'pets', 'train', class_map='camvid11')


def test_an_unknown_map_lists_the_known(tmp_path: Path) -> None:
    draw_synthia(tmp_path, 1)
    known = "unknown class map 'cityscapes'; known are camvid11, cityscapes13, cityscapes16, cityscapes19"
    with pytest.raises(DataError, match=known):
        open_dataset('synthia', tmp_path, 'all', class_map='cityscapes')
    with pytest.raises(DataError, match=known):
        classes_of('synthia', tmp_path, 'all', class_map='cityscapes')


def test_mapped_classes_need_no_tree(tmp_path: Path) -> None:
    assert (
        classes_of('coco', tmp_path / 'absent', 'train', class_map='cityscapes7') == CLASS_MAPS['cityscapes7'].classes
    )


def test_source_and_target_share_classes_through_a_map(tmp_path: Path, shared_data: Path) -> None:
    draw_streets(tmp_path, 'train', 'day', 1)
    source = open_dataset('streets', tmp_path, 'train', 'day', 'camvid11')
    target = open_dataset('camvid', shared_data / 'real' / 'camvid', 'train', 'dusk', 'camvid11')
    assert source.classes == target.classes
    plain = open_dataset('camvid', shared_data / 'real' / 'camvid', 'train', 'dusk')[0]
    np.testing.assert_array_equal(target[0].semantic, plain.semantic)
    sample = source[0]
    assert sample.semantic is not None
    assert set(np.unique(sample.semantic).tolist()) <= {*range(11), 255}
    assert cv2.countNonZero((sample.semantic == 3).astype(np.uint8)) > 0, 'road'


def test_a_student_learns_the_classes_of_the_map_in_its_recipe(tmp_path: Path) -> None:
    draw_streets(tmp_path, 'train', 'day', 2)
    data = recipe_document(tmp_path, 1)['data'] | {'class_map': 'camvid11'}
    fit(tiny_recipe(tmp_path, steps=1, data=data), tmp_path / 'run', resume=False)
    student, recipe, state = load_student(tmp_path / 'run')
    assert student.contract.classes == CLASS_MAPS['camvid11'].classes
    assert provenance_of(recipe, state)['data'] == 'streets train day with the classes camvid11'


def test_the_road_has_fourteen_classes_of_which_the_last_six_are_things() -> None:
    names = [entry.name for entry in CLASS_MAPS['road'].classes]
    assert names[:8] == ['road', 'sidewalk', 'building', 'fence', 'pole', 'traffic sign', 'vegetation', 'sky']
    assert names[8:] == ['person', 'car', 'truck', 'bus', 'motorcycle', 'bicycle']
    assert [entry.is_thing for entry in CLASS_MAPS['road'].classes] == [False] * 8 + [True] * 6


def unions(class_map: str, dataset: str) -> dict[str, set[str]]:
    """Names of the classes of a map that a class of a data set may stand for."""
    chosen, own = CLASS_MAPS[class_map], DATASETS[dataset].classes
    assert own is not None
    found = chosen.unions_for(own, dataset)
    return {own[source].name: {chosen.classes[label].name for label in members} for source, members in found.items()}


def test_every_class_of_cityscapes_but_the_train_has_a_place_on_the_road() -> None:
    found = merged('road', 'cityscapes')
    assert found['person'] == {'person', 'rider'}
    assert found['vegetation'] == {'vegetation', 'terrain'}
    assert found['traffic sign'] == {'traffic sign', 'traffic light'}
    assert unions('road', 'cityscapes') == {'wall': {'building', 'fence'}}
    assert sum(len(sources) for sources in found.values()) == 19 - 2


def test_classes_that_camvid_and_idd_do_not_tell_apart_are_unions_on_the_road() -> None:
    assert unions('road', 'camvid') == {'car': {'car', 'truck', 'bus'}, 'bicycle': {'motorcycle', 'bicycle'}}
    assert unions('road', 'idd_lite') == {
        'vehicles': {'car', 'truck', 'bus', 'motorcycle', 'bicycle'},
        'roadside objects': {'fence', 'pole', 'traffic sign'},
        'far objects': {'building', 'vegetation'},
    }
    assert merged('road', 'streets')['car'] == {'car'}
    assert unions('road', 'streets') == {}


def test_only_classes_that_a_data_set_never_tells_apart_are_a_group() -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    for dataset, groups in (
        ('camvid', ((9, 10, 11), (12, 13))),
        ('idd_lite', ((9, 10, 11, 12, 13), (3, 4, 5), (2, 6))),
        ('cityscapes', ()),
        ('streets', ()),
    ):
        own = DATASETS[dataset].classes
        assert own is not None
        mapped = Mapped(Drawn(own, Sample('x', image, semantic=np.zeros((1, 1), np.uint8))), 'road', dataset)[0]
        assert mapped.groups == groups


def test_an_object_of_a_union_loses_its_row_and_its_classes_are_complete_no_more() -> None:
    names = ('person', 'car', 'sky')
    classes = tuple(ClassInfo(id=i, name=name, is_thing=i < 2, color=(i, i, i)) for i, name in enumerate(names))
    ids = np.array([[1, 2, 0]], np.uint16)
    sample = Sample('x', np.zeros((1, 3, 3), np.uint8), ids, np.array([0, 1]), None, np.array([[0, 1, 2]], np.uint8))
    mapped = Mapped(Drawn(classes, sample), 'road', 'camvid')[0]
    assert mapped.instance_ids is not None
    assert mapped.instance_ids.tolist() == [[1, 0, 0]]
    assert mapped.complete == (8, 12, 13), 'the object with a name that means car, truck or bus is one of those'
    assert mapped.semantic is not None
    assert mapped.union_ids is not None
    assert mapped.semantic.tolist() == [[8, 255, 7]]
    assert mapped.unions[int(mapped.union_ids[0, 1]) - 1] == (9, 10, 11)
    assert mapped.union_ids[0, [0, 2]].tolist() == [0, 0]


def test_what_a_loader_calls_complete_is_translated() -> None:
    names = ('person', 'rider', 'car')
    classes = tuple(ClassInfo(id=i, name=name, is_thing=True, color=(i, i, i)) for i, name in enumerate(names))
    ids, labels = np.zeros((1, 1), np.uint16), np.zeros(0, np.int64)
    for own, expected in (((0, 1, 2), (8, 9)), ((0, 2), (9,)), ((), ()), (None, None)):
        sample = Sample('x', np.zeros((1, 1, 3), np.uint8), ids, labels, complete=own)
        assert Mapped(Drawn(classes, sample), 'road', 'coco')[0].complete == expected
