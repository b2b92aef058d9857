# SPDX-License-Identifier: Apache-2.0
"""What `cast bag to-dataset` writes is what the loaders read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawn_bags import TOPIC, view, write_labelled_bag
from drawn_streets import draw_streets

from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.tools.from_dataset import dataset_to_bag
from cast_ros.offline.bags.tools.to_dataset import bag_to_dataset
from cast_train.data.cityscapes import Cityscapes
from cast_train.data.streets.dataset import Streets


def test_raw_pictures_become_cityscapes(tmp_path: Path) -> None:
    bag_to_dataset(write_labelled_bag(tmp_path / 'my_drive.mcap', 6), TOPIC, tmp_path / 'set', split='val')
    # Camera files of Cityscapes are about its stereo rig; whoever reads the data set as such leaves ours out.
    (tmp_path / 'set/camera').rename(tmp_path / 'camera')
    found = Cityscapes(tmp_path / 'set', 'val')
    assert list(found.names) == [f'my-drive_000000_{number:06d}' for number in range(6)]
    np.testing.assert_array_equal(found[3].image, view(3))
    assert found[3].instance_labels is not None
    assert [found.classes[label].name for label in found[3].instance_labels] == ['car', 'car']


def test_compressed_pictures_become_streets(tmp_path: Path) -> None:
    draw_streets(tmp_path / 'streets', 'drive', 'day', 3)
    dataset_to_bag(tmp_path / 'streets', tmp_path / 'drive.mcap')
    bag_to_dataset(tmp_path / 'drive.mcap', topics.IMAGE, tmp_path / 'again')
    again, original = Streets(tmp_path / 'again', 'drive', 'drive'), Streets(tmp_path / 'streets', 'drive', 'day')
    assert len(again) == len(original) == 3
    np.testing.assert_array_equal(again[1].image, original[1].image)
    np.testing.assert_array_equal(again[1].depth_m, original[1].depth_m)
    assert again[1].fx_px == original[1].fx_px
