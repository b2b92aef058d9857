# SPDX-License-Identifier: Apache-2.0
"""The street benchmark's loader, on a drawn tree of the true shape and on broken ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_streets import draw_streets

from cast_train.data import open_dataset
from cast_train.data.streets import CLASSES
from cast_train.errors import DataError

CAR, PERSON, ROAD, SKY = (next(c.id for c in CLASSES if c.name == name) for name in ('car', 'person', 'road', 'sky'))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    draw_streets(tmp_path, 'train', 'day', frames=2)
    return tmp_path


def test_a_sample_has_every_label_in_the_students_ids(tree: Path) -> None:
    sample = open_dataset('streets', tree, 'train', 'day')[0]
    assert sample.image.shape == (128, 256, 3)
    assert sample.semantic is not None
    assert sample.semantic[0, 0] == SKY
    assert sample.semantic[127, 0] == ROAD
    assert sample.instance_labels is not None
    assert sorted(sample.instance_labels.tolist()) == [PERSON, CAR, CAR]
    assert sample.instance_is_crowd is not None
    assert not sample.instance_is_crowd.any()
    assert sample.fx_px == pytest.approx(182.8)
    assert sample.domain == 'day'


def test_depth_is_metres_with_sky_at_infinity(tree: Path) -> None:
    sample = open_dataset('streets', tree, 'train', 'day')[0]
    assert sample.depth_m is not None
    assert np.isposinf(sample.depth_m[0, 0])
    assert sample.depth_m[50, 0] == pytest.approx(40.0)


def test_pictures_are_rgb(tree: Path) -> None:
    image = open_dataset('streets', tree, 'train', 'day')[0].image
    red, _, blue = image[5, 5].astype(int)
    assert blue > red + 60, 'the drawn sky is blue'


def test_views_of_one_scene_share_its_name(tree: Path) -> None:
    assert list(open_dataset('streets', tree, 'train', 'day').scenes) == ['day_000000', 'day_000000']


def test_a_thing_without_a_number_is_a_crowd(tree: Path) -> None:
    path = tree / 'gtFine/train/day/day_000000_000000_gtFine_instanceIds.png'
    codes = np.full((128, 256), 7, np.uint16)
    codes[0, :5] = 26, 26001, 24000, 4, 26002
    cv2.imwrite(str(path), codes)
    sample = open_dataset('streets', tree, 'train', 'day')[0]
    assert sample.instance_ids is not None
    assert sample.instance_labels is not None
    assert sample.instance_is_crowd is not None
    assert sample.semantic is not None
    assert sample.instance_ids[0, :6].tolist() == [1, 3, 2, 0, 4, 0]
    assert sample.instance_labels.tolist() == [CAR, PERSON, CAR, CAR]
    assert sample.instance_is_crowd.tolist() == [True, False, False, False]
    assert sample.semantic[0, :6].tolist() == [CAR, CAR, PERSON, 255, CAR, ROAD]


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda root: (root / 'camera/train/day/day_000000_000000_camera.json').write_text('{}'),
            'needs a JSON object with fx',
        ),
        (lambda root: (root / 'depth/train/day/day_000000_000000_depth.png').unlink(), 'depth.png: no such file'),
        (
            lambda root: (root / 'gtFine/train/day/day_000000_000000_gtFine_instanceIds.png').write_bytes(b'x'),
            'cannot be decoded',
        ),
        (
            lambda root: cv2.imwrite(
                str(root / 'depth/train/day/day_000000_000000_depth.png'), np.zeros((4, 4), np.uint16)
            ),
            'label and picture must match',
        ),
    ],
)
def test_a_damaged_file_is_named(tree: Path, damage, message: str) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message):
        open_dataset('streets', tree, 'train', 'day')[0]


def test_a_wrong_root_split_or_name_says_what_to_do(tree: Path) -> None:
    with pytest.raises(DataError, match='say where the streets pictures lie'):
        open_dataset('streets', tree / 'absent', 'train', 'day')
    with pytest.raises(DataError, match='must hold leftImg8bit'):
        open_dataset('streets', tree, 'test', 'day')
    with pytest.raises(DataError, match='known are acdc, ade20k, camvid'):
        open_dataset('kitti', tree, 'train', 'day')


def test_the_benchmark_itself_loads(shared_data: Path) -> None:
    streets = open_dataset('streets', shared_data / 'streets', 'val', 'day')
    assert len(streets) == 49
    sample = streets[0]
    assert sample.image.shape == (256, 512, 3)
    assert sample.semantic is not None
    assert set(np.unique(sample.semantic)) <= {*range(len(CLASSES))}
