# SPDX-License-Identifier: Apache-2.0
"""Several data sets in one recipe: what their labels mean, how often each is drawn, and one table of validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_coco import draw_coco
from drawn_road import HEIGHT, draw_idd_flat, draw_kitti_lidar, draw_pennfudan, draw_pictures
from drawn_streets import draw_streets
from tiny_recipe import recipe_document

from cast_train.data import Stated, mixed_chances, open_dataset
from cast_train.engine.fitting import fit, read_training, source_table, supervised_stream
from cast_train.engine.recipe import Recipe
from cast_train.engine.recipe_file import parse
from cast_train.engine.trained import load_student
from cast_train.engine.validation import check_recipe
from cast_train.errors import DataError, RecipeError
from cast_train.export.run import provenance_of


def road_document(root: Path, steps: int = 2, **changes: Any) -> dict[str, Any]:
    """Streets, IDD-Lite, Penn-Fudan, the lidar's drive and pictures without labels, all drawn below ``root``."""
    draw_streets(root / 'streets', 'train', 'day', 2)
    draw_idd_flat(root / 'idd', [str(drive) for drive in range(8)])
    draw_pennfudan(root / 'people')
    draw_kitti_lidar(root / 'lidar')
    draw_pictures(root / 'bare', pseudo=False)
    part = [{'split': 'all'}]
    sources = [
        {
            'dataset': 'idd_lite',
            'root': str(root / 'idd'),
            'train': [{'split': 'train'}],
            'validation': [{'split': 'val'}],
            'complete': [],
            'weight': 2.0,
        },
        {'dataset': 'pennfudan', 'root': str(root / 'people'), 'train': part, 'validation': part, 'title': 'people'},
        {'dataset': 'kitti_lidar', 'root': str(root / 'lidar'), 'train': part, 'validation': part},
        {'dataset': 'pictures', 'root': str(root / 'bare'), 'train': part, 'crop_bottom': {'b': 0.25}},
    ]
    document = recipe_document(root / 'streets', steps, batch=6, **changes)
    document['data'] |= {'class_map': 'road', 'sources': sources}
    return document


def road_recipe(root: Path, steps: int = 2, **changes: Any) -> Recipe:
    return parse(Recipe, road_document(root, steps, **changes), 'road')


def test_a_mixture_trains_and_writes_one_table_of_all_sources(tmp_path: Path) -> None:
    recipe = road_recipe(tmp_path)
    found = fit(recipe, tmp_path / 'run', resume=False)
    assert {'streets/miou', 'streets/abs_rel', 'idd_lite/miou', 'people/ap50', 'kitti_lidar/abs_rel'} <= {*found}
    assert not any(name.startswith(('pictures/', 'kitti_lidar/miou', 'people/miou')) for name in found)
    rows = (tmp_path / 'run' / 'validation.md').read_text().splitlines()
    assert rows[0].startswith('| source | ')
    assert [row.split(' | ')[0] for row in rows[2:]] == ['| streets', '| idd_lite', '| people', '| kitti_lidar']
    student, trained, state = load_student(tmp_path / 'run')
    assert len(student.contract.classes) == 14
    assert trained.data.sources == recipe.data.sources
    words = provenance_of(trained, state)['data']
    assert words.startswith('streets train day, idd_lite train, pennfudan all, kitti_lidar all, pictures all with the')


def test_a_stopped_mixture_goes_on_with_the_same_batches(tmp_path: Path) -> None:
    recipe = road_recipe(tmp_path)
    source, _ = read_training(recipe.data)
    assert source.chances is not None
    contract = load_contract(recipe)
    whole = [batch.images for batch in supervised_stream(recipe, source.samples, contract, 0, source.chances)]
    (rest,) = [batch.images for batch in supervised_stream(recipe, source.samples, contract, 1, source.chances)]
    assert np.array_equal(whole[1], rest)
    assert not np.array_equal(whole[0], whole[1])


def load_contract(recipe: Recipe) -> Any:
    return recipe.contract_for(read_training(recipe.data)[1])


def test_weights_decide_how_often_a_source_is_drawn(tmp_path: Path) -> None:
    source, classes = read_training(road_recipe(tmp_path).data)
    assert source.chances is not None
    assert len(classes) == 14
    sizes = [2, 14, 5, 2, 3]
    assert len(source.samples) == len(source.chances) == sum(sizes)
    parts = np.split(source.chances, np.cumsum(sizes)[:-1])
    assert [part.sum() for part in parts] == pytest.approx([1 / 6, 2 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert all(np.ptp(part) == 0 for part in parts)


def test_chances_leave_out_what_is_empty_and_refuse_nothing_at_all() -> None:
    assert mixed_chances([2, 0, 1], [1, 5, 3]).tolist() == pytest.approx([0.125, 0.125, 0.75])
    for counts, weights in (([0, 0], [1, 1]), ([3], [0])):
        with pytest.raises(DataError, match='no source has both pictures and a weight over 0'):
            mixed_chances(counts, weights)


def test_a_recipe_says_what_the_labels_mean(tmp_path: Path) -> None:
    draw_coco(tmp_path, 'train')
    plain = open_dataset('coco', tmp_path, 'train')
    assert plain[0].complete is None
    assert Stated(plain, ['cat'])[0].complete == (1,)
    assert Stated(plain, [])[0].complete == ()
    with pytest.raises(DataError, match="complete names 'bird', which is no thing; things are dog, cat"):
        Stated(plain, ['cat', 'bird'])
    draw_idd_flat(tmp_path / 'idd')
    road = open_dataset('idd_lite', tmp_path / 'idd', 'all', class_map='road')
    assert Stated(road, ['car'])[0].complete == (), 'without instances no car has a row'


def test_the_bonnet_is_cut_off_with_its_labels_and_objects(tmp_path: Path) -> None:
    draw_pennfudan(tmp_path, 2)
    plain = open_dataset('pennfudan', tmp_path, 'all')
    cut = Stated(plain, crop_bottom={'FudanPed': 0.5, 'FudanPed00001': 0.75})
    assert (cut[1].image.shape[0], cut[0].image.shape[0]) == (HEIGHT // 2, HEIGHT // 4)
    sample = cut[0]
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    assert sample.instance_ids.shape == sample.image.shape[:2]
    assert set(sample.instance_ids.ravel().tolist()) == {0, 1}
    assert sample.instance_labels.tolist() == [0], 'the second person begins below'
    other = Stated(plain, crop_bottom={'lyft_': 0.5})[0]
    assert other.image.shape[0] == HEIGHT
    with pytest.raises(DataError, match="crop_bottom of 'x' is 1"):
        Stated(plain, crop_bottom={'x': 1.0})


def test_validate_names_every_source(tmp_path: Path) -> None:
    found = {finding.subject: finding.text for finding in check_recipe(road_recipe(tmp_path))}
    assert found['idd_lite: train train'] == '14 pictures, 24×40, with semantic, unions'
    assert found['people: validation all'].endswith('with instances')
    assert found['pictures: train all'] == '3 pictures, 24×40, with no labels'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'dataset': 'bdd'}, r"data\.sources\.0\.dataset is 'bdd'; known are acdc"),
        ({'class_map': 'roads'}, r"data\.sources\.0\.class_map is 'roads'; known are"),
        ({'title': 'streets'}, r"two sources are called 'streets'; give one a title of its own"),
        ({'wieght': 1}, r"data\.sources\.0\.wieght: unknown key; did you mean 'weight'"),
        ({'crop_bottom': {'a': 1}}, r'data\.sources\.0\.crop_bottom\.a: Input should be less than 1'),
    ],
)
def test_a_wrong_source_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    document = road_document(tmp_path)
    document['data']['sources'][0] |= change
    with pytest.raises(RecipeError, match=message):
        parse(Recipe, document, 'road')


def test_a_source_with_other_classes_is_refused(tmp_path: Path) -> None:
    document = road_document(tmp_path)
    document['data']['sources'][0]['class_map'] = 'camvid11'
    with pytest.raises(DataError, match='two parts of the data disagree on a class, road and sky'):
        fit(parse(Recipe, document, 'road'), tmp_path / 'run', resume=False)


def test_a_recipe_of_one_data_set_is_written_as_before(tmp_path: Path) -> None:
    draw_streets(tmp_path, 'train', 'day', 1)
    document = parse(Recipe, recipe_document(tmp_path, 1), 'plain').model_dump(mode='json')
    assert list(document['data']) == ['dataset', 'root', 'train', 'validation', 'in_memory', 'limit']
    again = json.loads(json.dumps(road_recipe(tmp_path / 'road').model_dump(mode='json')))
    assert parse(Recipe, again, 'again').data == road_recipe(tmp_path / 'road').data


def test_the_table_leaves_open_what_a_source_cannot_say() -> None:
    table = source_table({'camvid': {'miou': 0.5}, 'people': {'ap50': 0.25}})
    assert table == '| source | miou | ap50 |\n| --- | --- | --- |\n| camvid | 0.5000 |  |\n| people |  | 0.2500 |\n'
