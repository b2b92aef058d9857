# SPDX-License-Identifier: Apache-2.0
"""Bags of recorders that were killed, of full disks and of half copies."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from drawn_bags import START_NS, STEP_NS, TOPIC, drive, write_bag, write_labelled_bag
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, BagWriter, RawMessage, typestore
from cast_ros.offline.bags.messages import stamp_ns, text
from cast_ros.offline.bags.storage import storage_files

FRAMES = 60


def raw_messages(path: Path, salvage: bool = False) -> list[RawMessage]:
    with BagReader(path, salvage=salvage) as reader:
        return list(reader.raw_messages())


def salvaged_or_nothing(path: Path) -> list[RawMessage]:
    """Messages of a bag that may be beyond help; any other error is one too many."""
    try:
        return raw_messages(path, salvage=True)
    except BagError:
        return []


def cut_short(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    return path


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
@pytest.mark.parametrize('keep', [0.4, 0.6, 0.99])
def test_what_lies_before_a_cut_is_read_as_it_was(tmp_path: Path, suffix: str, keep: float) -> None:
    bag = write_labelled_bag(tmp_path / f'drive{suffix}', FRAMES)
    whole = raw_messages(bag)
    cut_short(bag, keep)
    with pytest.raises(BagError), BagReader(bag) as strict:
        list(strict.raw_messages())
    with BagReader(bag, salvage=True) as reader:
        left = list(reader.raw_messages())
        (damage,) = reader.damages
        counts = {entry.name: entry.message_count for entry in reader.topics().values()}
        duration_ns, start_ns = reader.duration_ns, reader.start_ns
        pictures = list(reader.messages([TOPIC]))
    assert left == whole[: len(left)]
    assert len(whole) * keep * 0.8 < len(left) <= len(whole)
    assert len(left) < len(whole) or keep > 0.4
    assert damage.messages == len(left) == sum(counts.values())
    assert str(damage).endswith(f'; {len(left)} messages can be read')
    assert (start_ns, duration_ns) == (START_NS, left[-1].recorded_ns - START_NS)
    assert len(pictures) == counts[TOPIC]
    assert [stamp_ns(entry.message) for entry in pictures] == [START_NS + k * STEP_NS for k in range(len(pictures))]


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
def test_a_longer_rest_never_holds_less(tmp_path: Path, suffix: str) -> None:
    bag = write_labelled_bag(tmp_path / f'drive{suffix}', FRAMES)
    whole, content = raw_messages(bag), bag.read_bytes()
    counts = []
    for length in np.linspace(0, len(content), 25, dtype=int):
        bag.write_bytes(content[:length])
        left = salvaged_or_nothing(bag)
        assert left == whole[: len(left)]
        counts.append(len(left))
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, len(whole))


def test_a_whole_bag_has_no_damage(tmp_path: Path) -> None:
    with BagReader(write_labelled_bag(tmp_path / 'drive', 3), salvage=True) as reader:
        assert len(list(reader.raw_messages())) == 14
        assert reader.damages == ()


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_folder_without_metadata_is_read_from_its_files(tmp_path: Path, storage: str) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', 5, storage)
    with BagReader(bag) as reader:
        whole, topics, definitions = list(reader.raw_messages()), reader.topics(), reader.definitions()
    (bag / 'metadata.yaml').unlink()
    with BagReader(bag, salvage=True) as reader:
        assert list(reader.raw_messages()) == whole
        assert reader.topics() == topics
        assert reader.definitions() == definitions
        assert [str(entry) for entry in reader.damages] == ['drive: there is no metadata.yaml; 22 messages can be read']


def test_files_of_a_split_bag_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    bag = tmp_path / 'drive'
    bag.mkdir()
    for number in (0, 2, 10):
        shots = [(START_NS + number, drive(1)[0][1])]
        write_bag(bag / f'drive_{number}.mcap', shots)
    assert [file.name for file in storage_files(bag)] == ['drive_0.mcap', 'drive_2.mcap', 'drive_10.mcap']
    cut_short(bag / 'drive_10.mcap', 0.1)
    with BagReader(bag, salvage=True) as reader:
        assert [stamp_ns(entry.message) - START_NS for entry in reader.messages()] == [0, 2]
        missing, damage = reader.damages
    assert (missing.kind, missing.messages) == ('no-metadata', 2)
    assert (damage.file.name, damage.messages) == ('drive_10.mcap', 0)


def test_broken_metadata_does_not_hinder(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', 5)
    (bag / 'metadata.yaml').write_text('a: [')
    assert len(raw_messages(bag, salvage=True)) == 22


@pytest.mark.parametrize('compression', list(CompressionType))
@pytest.mark.parametrize('chunked', [True, False])
def test_every_compression_of_other_writers_is_salvaged(
    tmp_path: Path, compression: CompressionType, chunked: bool
) -> None:
    path = tmp_path / 'notes.mcap'
    writer = McapWriter(str(path), chunk_size=2000, compression=compression, use_chunking=chunked)
    writer.start(profile='ros2')
    schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data')
    channel = writer.register_channel('/note', 'cdr', schema)
    for number in range(100):
        content = f'{number} ' + ''.join(chr(97 + (number * k) % 26) for k in range(300))
        data = bytes(typestore().serialize_cdr(text(content), 'std_msgs/msg/String'))
        writer.add_message(channel, number, data, number)
    writer.finish()
    cut_short(path, 0.5)
    with BagReader(path, salvage=True) as reader:
        numbers = [int(entry.message.data.split()[0]) for entry in reader.messages(['/note'])]
    assert numbers == list(range(len(numbers)))
    assert 30 < len(numbers) < 90


def test_damage_within_a_file_ends_the_messages_and_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    bag = write_bag(tmp_path / 'noise.mcap', [(START_NS + k * STEP_NS, noise) for k in range(40)])
    with bag.open('r+b') as file:
        summary = make_reader(file).get_summary()
        assert summary is not None
        file.seek(summary.chunk_indexes[2].chunk_start_offset + 50)
        file.write(bytes(100))
    with BagReader(bag) as strict, pytest.raises(BagError):
        list(strict.raw_messages())
    with BagReader(bag, salvage=True) as reader:
        count = len(list(reader.raw_messages()))
        (damage,) = reader.damages
    assert 0 < count < 40
    assert (damage.messages, damage.reason[:19]) == (count, 'its index is whole,')


def test_messages_that_were_compressed_one_by_one_are_salvaged(tmp_path: Path) -> None:
    writer = Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.SQLITE3)
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/note', 'std_msgs/msg/String', typestore=typestore())
        writer.write(connection, 5, bytes(typestore().serialize_cdr(text('hello'), 'std_msgs/msg/String')))
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    with BagReader(tmp_path / 'bag', salvage=True) as reader:
        assert [entry.message.data for entry in reader.messages()] == ['hello']


def test_an_old_database_without_types_and_qos_is_salvaged(tmp_path: Path) -> None:
    path = tmp_path / 'old.db3'
    with sqlite3.connect(path) as database:
        database.execute('CREATE TABLE topics(id INTEGER PRIMARY KEY, name, type, serialization_format)')
        database.execute('CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data)')
        database.execute("INSERT INTO topics VALUES(1, '/note', 'std_msgs/msg/String', 'cdr')")
        data = bytes(typestore().serialize_cdr(text('x' * 500), 'std_msgs/msg/String'))
        database.executemany('INSERT INTO messages VALUES(?, 1, ?, ?)', [(k, k, data) for k in range(1, 200)])
    cut_short(path, 0.5)
    with BagReader(path, salvage=True) as reader:
        assert {entry.message.data for entry in reader.messages()} == {'x' * 500}
        assert reader.definitions()['/note'].qos == ()


@pytest.mark.parametrize('name', ['empty.mcap', 'empty.db3', 'text.mcap', 'text.db3', 'note.txt', 'folder', 'nothing'])
def test_what_is_no_bag_is_a_bag_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == 'folder':
        path.mkdir()
    elif name != 'nothing':
        path.write_text('' if name.startswith('empty') else '# a text\n' * 100)
    with pytest.raises(BagError, match=name), BagReader(path, salvage=True):
        pass


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
def test_flipped_bytes_never_crash(tmp_path: Path, suffix: str) -> None:
    bag = write_labelled_bag(tmp_path / f'drive{suffix}', 10)
    whole = bag.read_bytes()
    dice = np.random.default_rng(1)
    for _ in range(40):
        content = np.frombuffer(whole, np.uint8).copy()
        content[dice.integers(0, len(whole), 20)] = dice.integers(0, 256, 20)
        bag.write_bytes(content.tobytes()[: int(dice.integers(1, len(whole)))])
        assert len(salvaged_or_nothing(bag)) <= 42


def test_a_salvaged_bag_becomes_a_whole_one(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', FRAMES)
    cut_short(bag / 'drive.mcap', 0.6)
    shutil.copy(bag / 'drive.mcap', tmp_path / 'evidence')
    with BagReader(bag, salvage=True) as reader, BagWriter(tmp_path / 'whole.db3') as writer:
        for definition in reader.definitions().values():
            writer.declare(definition)
        for raw in reader.raw_messages():
            writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, raw.data)
        left = list(reader.raw_messages())
    assert sorted(raw_messages(tmp_path / 'whole.db3')) == sorted(left)
    assert (bag / 'drive.mcap').read_bytes() == (tmp_path / 'evidence').read_bytes()
