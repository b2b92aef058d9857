# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from compressed_depth import compressed_depth_png
from drawn_bags import START_NS, TOPIC, drive, write_bag, write_labelled_bag

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagWriter
from cast_ros.offline.bags.messages import compressed_image
from cast_ros.offline.bags.tools.info import PictureInfo, bag_info


@pytest.mark.parametrize(
    ('name', 'storage', 'compression'),
    [
        ('drive.mcap', 'mcap', 'zstd (chunk)'),
        ('drive.db3', 'sqlite3', 'none'),
        ('drive', 'mcap', 'zstd (chunk)'),
    ],
)
def test_a_bag_at_a_glance(tmp_path: Path, name: str, storage: str, compression: str) -> None:
    info = bag_info(write_labelled_bag(tmp_path / name, 11))
    assert (info.storage, info.compression, info.messages) == (storage, compression, 46)
    assert (info.start_ns, info.duration_s) == (START_NS, 1.0)
    assert info.ground_truth == ('/ground_truth/depth', '/ground_truth/instances')
    assert (info.sha256, info.damages) == ({}, ())
    files = list((tmp_path / name).rglob('*')) or [tmp_path / name]
    assert info.size_bytes == sum(path.stat().st_size for path in files)
    topics = {entry.name: entry for entry in info.topics}
    picture = topics[TOPIC]
    assert (picture.msgtype, picture.messages, picture.rate_hz) == ('sensor_msgs/msg/Image', 11, 10.0)
    assert picture.qos == ('reliable, volatile, keep last 10',)
    assert picture.picture == PictureInfo('bgr8', 64, 48, 9268, 'camera', '/camera/camera_info')
    assert topics['/ground_truth/about'].rate_hz is None


def test_digests_are_of_every_file(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', 2)
    expected = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in bag.iterdir()}
    assert bag_info(bag, with_sha256=True).sha256 == expected


def test_pictures_that_do_not_decode_are_told(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/front/image/compressed', 1, compressed_image(1, 'front', b'\xff\xd8\xff', 'jpeg'))
        writer.write('/depth/image/compressedDepth', 1, compressed_image(1, 'd', b'?', '16UC1; compressedDepth png'))
        good = compressed_image(1, 'd', compressed_depth_png(np.ones((8, 9), np.uint16)), '16UC1; compressedDepth png')
        writer.write('/good/image/compressedDepth', 1, good)
        writer.write_raw('/raw', 'sensor_msgs/msg/Image', 1, b'\x00\x01\x00\x00')
    pictures = {entry.name: entry.picture for entry in bag_info(tmp_path / 'bag').topics}
    front, depth, raw = (pictures[name] for name in ('/front/image/compressed', '/depth/image/compressedDepth', '/raw'))
    assert front is not None
    assert 'cut short' in front.problem
    assert (front.frame_id, front.camera_info) == ('front', None)
    assert depth is not None
    assert 'cut short: 1 bytes' in depth.problem
    good_one = pictures['/good/image/compressedDepth']
    assert good_one is not None
    assert (good_one.encoding, good_one.width, good_one.height) == ('compressedDepth', 9, 8)
    assert raw is not None
    assert 'damaged' in raw.problem


def test_what_can_be_read_of_a_damaged_bag_is_told(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive.db3', drive(20))
    content = bag.read_bytes()
    bag.write_bytes(content[: len(content) // 2])
    info = bag_info(bag)
    assert 5 < info.messages < 15
    assert info.damages[0].messages == info.messages
    assert info.size_bytes == len(content) // 2


@pytest.mark.parametrize('name', ['nothing', 'note.mcap', 'note.txt'])
def test_what_is_no_bag_is_a_bag_error(tmp_path: Path, name: str) -> None:
    if name != 'nothing':
        (tmp_path / name).write_text('a note')
    with pytest.raises(BagError, match=name):
        bag_info(tmp_path / name)
