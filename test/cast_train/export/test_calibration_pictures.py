# SPDX-License-Identifier: Apache-2.0
"""Calibration pictures: folders, bags and data sets give evenly spread pictures at the size of the network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_bags import START_NS, STEP_NS, TOPIC, drive, picture_message, view, write_bag
from drawn_streets import draw_streets

from cast_ros.errors import BagError, ImageError
from cast_ros.student import InputGeometry, InputSpec
from cast_train.data import Sample, open_dataset
from cast_train.errors import DataError
from cast_train.export.calibration_pictures import pictures_of_path, pictures_of_samples

SPEC = InputSpec(height=32, width=64)


def grey(value: int) -> np.ndarray:
    return np.full((48, 64, 3), value, np.uint8)


def test_a_folder_is_searched_with_its_subfolders_and_spread_evenly(tmp_path: Path) -> None:
    for value in range(10):
        folder = tmp_path / ('a' if value < 5 else 'b')
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f'{value}.png'), grey(20 * value))
    (tmp_path / 'notes.txt').write_text('no picture')
    found = pictures_of_path(tmp_path, None, 5, SPEC)
    assert [picture.shape for picture in found.inputs] == [(1, 32, 64, 3)] * 5
    assert [int(picture[0, 0, 0, 0]) for picture in found.inputs] == [0, 40, 80, 120, 160]
    assert found.source == f'the folder {tmp_path.name}'
    assert str(tmp_path.parent) not in found.source
    assert len(pictures_of_path(tmp_path, None, 100, SPEC).inputs) == 10


@pytest.mark.parametrize(('storage', 'encoding'), [('mcap', 'bgr8'), ('sqlite3', 'png')])
def test_a_bag_gives_the_pictures_of_its_only_topic(tmp_path: Path, storage: str, encoding: str) -> None:
    bag = write_bag(tmp_path / 'bag', drive(9), encoding, storage)
    found = pictures_of_path(bag, None, 3, SPEC)
    assert found.source == f'the bag bag, {TOPIC}'
    for picture, place in zip(found.inputs, (0, 3, 6), strict=True):
        expected = InputGeometry.for_image(48, 64, SPEC).to_network(view(place))
        assert np.array_equal(picture[0], expected)


def test_a_bare_file_of_a_bag_is_a_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', drive(2))
    (file,) = bag.glob('*.mcap')
    assert len(pictures_of_path(file, TOPIC, 100, SPEC).inputs) == 2


def test_a_data_set_gives_pictures_without_its_labels(tmp_path: Path) -> None:
    draw_streets(tmp_path, 'train', 'day', frames=4)
    found = pictures_of_samples(open_dataset('streets', tmp_path, 'train', 'day'), 'streets train day', 2, SPEC)
    assert [picture.shape for picture in found.inputs] == [(1, 32, 64, 3)] * 2
    assert found.source == 'streets train day'


def test_what_cannot_calibrate_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='absent: no such folder'):
        pictures_of_path(tmp_path / 'absent', None, 5, SPEC)
    with pytest.raises(DataError, match='no picture in it'):
        pictures_of_path(tmp_path, None, 5, SPEC)
    (tmp_path / 'notes.txt').write_text('no bag')
    with pytest.raises(BagError, match=r'notes\.txt'):
        pictures_of_path(tmp_path / 'notes.txt', None, 5, SPEC)
    (tmp_path / 'cut.png').write_bytes(b'\x89PNG\r\n\x1a\n')
    with pytest.raises(DataError, match=r'cut\.png: cannot be decoded'):
        pictures_of_path(tmp_path, None, 5, SPEC)
    nothing: list[Sample] = []
    with pytest.raises(DataError, match='has no picture'):
        pictures_of_samples(nothing, 'an empty split', 5, SPEC)


def test_a_bag_with_a_damaged_picture_or_another_topic_is_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', drive(2))
    with pytest.raises(BagError, match=f"no topic '/rear'; topics with pictures: {TOPIC}"):
        pictures_of_path(bag, '/rear', 5, SPEC)
    damaged = picture_message(START_NS, view(0), 'jpeg')
    damaged.data = damaged.data[:20]
    broken = write_bag(tmp_path / 'broken', [(START_NS, damaged), (START_NS + STEP_NS, damaged)])
    with pytest.raises(ImageError):
        pictures_of_path(broken, None, 5, SPEC)
