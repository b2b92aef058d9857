# SPDX-License-Identifier: Apache-2.0
"""Bags of ours in other people's readers: rosbags, mcap, and mcap-ros2-support."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_bags import STEP_NS, TOPIC, view, write_labelled_bag
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

from cast_ros.offline.bags.tools.cut import cut_bag
from cast_ros.offline.bags.tools.faults import corrupt_bag

FRAMES = 20


@pytest.fixture(params=['as written', 'cut', 'copied from sqlite3', 'a foreign type'])
def bag(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A bag of FRAMES frames, made in each of our ways."""
    out = tmp_path / 'ours.mcap'
    match request.param:
        case 'as written':
            return write_labelled_bag(out, FRAMES)
        case 'cut':
            cut_bag(write_labelled_bag(tmp_path / 'long.mcap', 2 * FRAMES), out, 0, FRAMES * STEP_NS / 1e9)
        case 'copied from sqlite3':
            cut_bag(write_labelled_bag(tmp_path / 'one.db3', FRAMES), out, None, None)
        case _:
            corrupt_bag(write_labelled_bag(tmp_path / 'one.mcap', FRAMES), out, 'empty-topic')
    return out


def test_mcap_reads_index_statistics_and_messages(bag: Path) -> None:
    with bag.open('rb') as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        messages = list(reader.iter_messages())
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == len(messages) == 4 * FRAMES + 2
    assert {channel.message_encoding for channel in summary.channels.values()} == {'cdr'}
    assert {schema.encoding for schema in summary.schemas.values()} == {'ros2msg'}
    stamps = [message.log_time for *_, message in messages]
    assert stamps == sorted(stamps)


def test_mcap_ros2_support_decodes_every_message(bag: Path) -> None:
    with bag.open('rb') as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        decoded = [(channel.topic, message) for _, channel, _, message in reader.iter_decoded_messages()]
    pictures = [message for topic, message in decoded if topic == TOPIC]
    infos = [message for topic, message in decoded if topic == '/camera/camera_info']
    labels = next(message for topic, message in decoded if topic == '/ground_truth/label_info')
    assert len(decoded) == 4 * FRAMES + 2
    rgb = np.frombuffer(pictures[3].data, np.uint8).reshape(pictures[3].height, pictures[3].width, 3)[..., ::-1]
    np.testing.assert_array_equal(rgb, view(3))
    assert (infos[0].width, infos[0].height, infos[0].k[0], infos[0].header.frame_id) == (64, 48, 50.0, 'camera')
    assert [entry.class_name for entry in labels.class_map] == ['road', 'sky', 'car']


def test_rosbags_decodes_every_message(bag: Path) -> None:
    with AnyReader([bag]) as reader:
        decoded = [reader.deserialize(raw, connection.msgtype) for connection, _, raw in reader.messages()]
    assert len(decoded) == 4 * FRAMES + 2
