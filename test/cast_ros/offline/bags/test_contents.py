# SPDX-License-Identifier: Apache-2.0
"""Bags whose metadata.yaml, index and messages do not agree: nothing vanishes, and every difference is told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from drawn_bags import TOPIC, drive, edit_metadata, picture_message, promise_more, write_bag
from mcap.writer import Writer as McapWriter
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, BagWriter, typestore
from cast_ros.offline.bags.messages import camera_info, stamp_ns, text
from cast_ros.offline.bags.tools.check import check_bag
from cast_ros.offline.bags.tools.cut import cut_bag
from cast_ros.offline.bags.tools.info import bag_info
from cast_ros.offline.bags.tools.to_dataset import bag_to_dataset
from cast_ros.offline.replay.frames import PictureBag

INFO_TOPIC = '/camera/camera_info'
STORAGES = ('mcap', 'sqlite3')
FRAMES = 20


def calibrated_bag(path: Path, storage: str = 'mcap') -> Path:
    with BagWriter(path, storage) as writer:  # type: ignore[arg-type]
        for at, rgb in drive(FRAMES):
            writer.write(TOPIC, at, picture_message(at, rgb, 'bgr8'))
            writer.write(INFO_TOPIC, at, camera_info(at, 'camera', (64, 48), (50.0, 50.0), (32.0, 24.0)))
    return path


def counts_differ(bag: Path) -> list[tuple[str, str]]:
    return [(entry.topic, entry.first.detail) for entry in check_bag(bag).findings if entry.kind == 'counts-differ']


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('topics', [(TOPIC, INFO_TOPIC), (INFO_TOPIC,)])
@pytest.mark.parametrize('nothing', [[], ''])
def test_no_message_is_lost_where_metadata_has_other_qos(
    tmp_path: Path, storage: str, topics: tuple[str, ...], nothing: Any
) -> None:
    bag = calibrated_bag(tmp_path / 'drive', storage)
    with BagReader(bag) as reader:
        whole, profiles = list(reader.raw_messages()), reader.definitions()[INFO_TOPIC].qos

    def forget_qos(told: dict[str, Any]) -> None:
        for entry in told['topics_with_message_count']:
            if entry['topic_metadata']['name'] in topics:
                entry['topic_metadata']['offered_qos_profiles'] = nothing

    edit_metadata(bag, forget_qos)
    with BagReader(bag) as reader:
        assert list(reader.raw_messages()) == whole
        # The storage file knows them still.
        assert reader.definitions()[INFO_TOPIC].qos == profiles != ()
        assert reader.damages == ()
    report = check_bag(bag)
    assert (report.messages, report.findings) == (2 * FRAMES, ())
    assert cut_bag(bag, tmp_path / 'cut.mcap', None, None).messages == 2 * FRAMES
    assert bag_to_dataset(bag, TOPIC, tmp_path / 'data').pictures == FRAMES
    with PictureBag(bag) as pictures:
        assert [frame.uncalibrated for frame in pictures.frames()] == [''] * FRAMES


def test_qos_that_somebody_wrote_into_metadata_counts(tmp_path: Path) -> None:
    bag = calibrated_bag(tmp_path / 'drive')

    def latch(told: dict[str, Any]) -> None:
        for entry in told['topics_with_message_count']:
            entry['topic_metadata']['offered_qos_profiles'][0]['durability'] = 'transient_local'

    edit_metadata(bag, latch)
    with BagReader(bag) as reader:
        assert [profile.durability for profile in reader.definitions()[TOPIC].qos] == [QosDurability.TRANSIENT_LOCAL]
        assert len(list(reader.messages())) == 2 * FRAMES


@pytest.mark.parametrize('storage', STORAGES)
def test_a_promise_that_is_not_kept_is_told_with_all_numbers(tmp_path: Path, storage: str) -> None:
    bag = calibrated_bag(tmp_path / 'drive', storage)

    promise_more(bag, TOPIC, 5)
    told = (
        f"drive: messages on '{TOPIC}': metadata.yaml says 25, the index of the storage 20, reading gave 20; "
        '20 messages can be read'
    )
    assert counts_differ(bag) == [(TOPIC, told)]
    assert [str(entry) for entry in bag_info(bag).damages] == [told]
    assert [str(entry) for entry in cut_bag(bag, tmp_path / 'cut.mcap', None, None).damages] == [told]
    assert [str(entry) for entry in bag_to_dataset(bag, TOPIC, tmp_path / 'data').damages] == [told]
    with PictureBag(bag) as pictures:
        assert (len(list(pictures.frames())), pictures.pictures, pictures.damage) == (FRAMES, FRAMES, told)
    # Who does not ask for salvage gets the messages, and the numbers.
    with BagReader(bag) as reader:
        assert len(list(reader.raw_messages())) == 2 * FRAMES
        assert [str(entry) for entry in reader.damages] == [told]
    assert check_bag(tmp_path / 'cut.mcap').findings == ()


def test_topics_that_metadata_does_not_name_are_read_all_the_same(tmp_path: Path) -> None:
    bag = calibrated_bag(tmp_path / 'drive')

    def forget(told: dict[str, Any]) -> None:
        told['topics_with_message_count'] = told['topics_with_message_count'][:1]
        told['message_count'] = FRAMES

    edit_metadata(bag, forget)
    with BagReader(bag) as reader:
        assert len(list(reader.messages())) == 2 * FRAMES
    ((topic, detail),) = counts_differ(bag)
    assert topic in (TOPIC, INFO_TOPIC)
    assert 'metadata.yaml says 0, the index of the storage 20, reading gave 20' in detail


def test_a_topic_of_metadata_alone_is_listed_and_told(tmp_path: Path) -> None:
    bag = calibrated_bag(tmp_path / 'drive')

    def invent(told: dict[str, Any]) -> None:
        entry = json.loads(json.dumps(told['topics_with_message_count'][0]))
        entry['topic_metadata']['name'] = '/gone'
        told['topics_with_message_count'].append({**entry, 'message_count': 7})
        told['message_count'] += 7

    edit_metadata(bag, invent)
    with BagReader(bag) as reader:
        assert reader.topics()['/gone'].message_count == 0
        assert list(reader.raw_messages(['/gone'])) == []
    ((topic, detail),) = counts_differ(bag)
    assert (topic, 'says 7, the index of the storage 0, reading gave 0' in detail) == ('/gone', True)


def test_a_sum_that_is_none_is_told(tmp_path: Path) -> None:
    bag = calibrated_bag(tmp_path / 'drive')
    edit_metadata(bag, lambda told: told.update(message_count=3))
    ((topic, detail),) = counts_differ(bag)
    assert topic == ''
    assert 'metadata.yaml says 3 messages in all, but 40 topic by topic' in detail


def test_a_file_that_was_cut_short_is_told_with_what_was_promised(tmp_path: Path) -> None:
    bag = calibrated_bag(tmp_path / 'drive', 'sqlite3')
    content = (bag / 'drive.db3').read_bytes()
    (bag / 'drive.db3').write_bytes(content[: int(0.7 * len(content))])
    with BagReader(bag, salvage=True) as reader:
        left = len(list(reader.raw_messages()))
        (damage,) = reader.damages
    assert 10 < left < 2 * FRAMES
    assert str(damage).endswith(f'; metadata.yaml promises 40 messages in all; {left} messages can be read')
    assert [entry.kind for entry in check_bag(bag).findings] == ['truncated']


def test_two_publishers_of_a_topic_are_one_topic(tmp_path: Path) -> None:
    bag = tmp_path / 'drive'
    volatile = Qos(
        QosHistory.KEEP_LAST, 5, QosReliability.RELIABLE, QosDurability.VOLATILE, *[QosTime(0, 0)] * 2,
        QosLiveliness.AUTOMATIC, QosTime(0, 0), False,
    )  # fmt: skip
    latched = volatile._replace(durability=QosDurability.TRANSIENT_LOCAL)
    data = bytes(typestore().serialize_cdr(text('hello'), 'std_msgs/msg/String'))
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for number, profile in enumerate((volatile, latched)):
            connection = writer.add_connection(
                '/note', 'std_msgs/msg/String', typestore=typestore(), offered_qos_profiles=[profile]
            )
            writer.write(connection, number, data)
    with BagReader(bag) as reader:
        assert len(list(reader.messages(['/note']))) == reader.topics()['/note'].message_count == 2
        assert reader.damages == ()
    with BagReader(bag / 'drive.mcap') as reader:
        assert reader.definitions()['/note'].qos == (volatile, latched)


def test_an_index_that_promises_more_than_there_is_is_told(tmp_path: Path) -> None:
    path = tmp_path / 'drive.mcap'
    writer = McapWriter(str(path), use_chunking=True)
    writer.start(profile='ros2')
    schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data')
    channel = writer.register_channel('/note', 'cdr', schema)
    for number in range(5):
        data = bytes(typestore().serialize_cdr(text(str(number)), 'std_msgs/msg/String'))
        writer.add_message(channel, number, data, number)
    writer._Writer__statistics.channel_message_counts[channel] += 4  # type: ignore[attr-defined]
    writer._Writer__statistics.message_count += 4  # type: ignore[attr-defined]
    writer.finish()
    with BagReader(path) as reader:
        assert reader.damages == ()
        assert len(list(reader.messages(['/note']))) == 5
        (damage,) = reader.damages
    assert damage.reason == "messages on '/note': the index of the storage 9, reading gave 5"


def test_an_index_without_counts_is_no_index_without_messages(tmp_path: Path) -> None:
    """The specification of MCAP lets writers leave the counts of channels out."""
    path = tmp_path / 'drive.mcap'
    writer = McapWriter(str(path))
    writer.start(profile='ros2')
    schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data')
    channel = writer.register_channel('/note', 'cdr', schema)
    for number in range(5):
        data = bytes(typestore().serialize_cdr(text(str(number)), 'std_msgs/msg/String'))
        writer.add_message(channel, number, data, number)
    writer._Writer__statistics.channel_message_counts.clear()  # type: ignore[attr-defined]
    writer.finish()
    with BagReader(path) as reader:
        assert reader.topics()['/note'].message_count == 5
        assert [entry.message.data for entry in reader.messages()] == list('01234')
        assert reader.damages == ()


def test_rows_of_no_topic_are_told(tmp_path: Path) -> None:
    bag = calibrated_bag(tmp_path / 'drive.db3')
    with closing(sqlite3.connect(bag)) as database, database:
        database.execute('UPDATE messages SET topic_id = 77 WHERE id IN (4, 6, 8)')
    ((topic, detail),) = counts_differ(bag)
    assert (topic, detail) == (
        '',
        'drive.db3: 3 messages are of no topic that the storage declares; 37 messages can be read',
    )


def test_a_storage_file_that_metadata_does_not_name_is_told(tmp_path: Path) -> None:
    bag = calibrated_bag(tmp_path / 'drive')
    write_bag(bag / 'drive_1.mcap', drive(3))
    size = (bag / 'drive_1.mcap').stat().st_size
    ((_, detail),) = counts_differ(bag)
    assert f'metadata.yaml does not name drive_1.mcap of {size} bytes, which is not read' in detail


def test_a_missing_part_is_serious(tmp_path: Path) -> None:
    bag = calibrated_bag(tmp_path / 'drive')
    edit_metadata(bag, lambda told: told.update(relative_file_paths=['drive/drive_0.mcap', 'drive/drive.mcap']))
    with pytest.raises(BagError, match=r'storage files are missing: drive_0\.mcap'), BagReader(bag):
        pass
    with BagReader(bag, salvage=True) as reader:
        assert len(list(reader.raw_messages())) == 2 * FRAMES
        assert [(entry.kind, entry.messages) for entry in reader.damages] == [('truncated', 2 * FRAMES)]


def test_a_damaged_part_ends_itself_alone(tmp_path: Path) -> None:
    bag = tmp_path / 'drive'
    bag.mkdir()
    shots = drive(90)
    for number in range(3):
        write_bag(bag / f'drive_{number}.db3', shots[30 * number : 30 * (number + 1)])
    content = (bag / 'drive_1.db3').read_bytes()
    (bag / 'drive_1.db3').write_bytes(content[: len(content) // 2])
    with BagReader(bag, salvage=True) as reader:
        stamps = [stamp_ns(entry.message) for entry in reader.messages()]
        kinds = [(entry.kind, entry.file.name) for entry in reader.damages]
    assert 60 < len(stamps) < 90
    assert stamps[-30:] == [at for at, _ in shots[60:]]
    assert kinds == [('no-metadata', 'drive'), ('truncated', 'drive_1.db3')]


def foreign_mcap(path: Path, profile: str, encoding: str) -> Path:
    writer = McapWriter(str(path))
    writer.start(profile=profile)
    schema = writer.register_schema('std_msgs/msg/String', 'ros2msg', b'string data')
    data = bytes(typestore().serialize_cdr(text('hello'), 'std_msgs/msg/String'))
    writer.add_message(writer.register_channel('/note', 'cdr', schema), 5, data, 5)
    if encoding != 'cdr':
        other = writer.register_schema('foxglove.Log', 'jsonschema', b'{}')
        for number, name in ((other, '/log'), (0, '/no_schema')):
            writer.add_message(writer.register_channel(name, encoding, number), 6, b'{}', 6)
    writer.finish()
    return path


def other_database(path: Path) -> Path:
    with BagWriter(path) as writer:
        writer.write('/note', 5, text('hello'))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE topics SET serialization_format = 'json'")
    return path


def other_folder(path: Path) -> Path:
    with BagWriter(path) as writer:
        writer.write('/note', 5, text('hello'))

    def change(told: dict[str, Any]) -> None:
        told['topics_with_message_count'][0]['topic_metadata']['serialization_format'] = 'json'

    edit_metadata(path, change)
    return path


@pytest.mark.parametrize('cut_short', [False, True])
@pytest.mark.parametrize('salvage', [False, True])
@pytest.mark.parametrize('make', ['ros2.mcap', 'bare.mcap', 'other.db3', 'folder'])
def test_topics_of_other_serializations_are_left_out_alike_everywhere(
    tmp_path: Path, make: str, salvage: bool, cut_short: bool
) -> None:
    path = tmp_path / make
    if path.suffix == '.mcap':
        foreign_mcap(path, 'ros2' if path.stem == 'ros2' else '', 'json')
    else:
        (other_database if path.suffix else other_folder)(path)
    if cut_short and salvage and path.suffix == '.mcap':
        path.write_bytes(path.read_bytes()[:-20])
    if path.suffix != '.mcap':  # it has no other topic
        with pytest.raises(BagError, match=r'no topic that is serialized as cdr, .*: /note \(json\)'):
            BagReader(path, salvage).__enter__()
        return
    with BagReader(path, salvage) as reader:
        assert [entry.message.data for entry in reader.messages()] == ['hello']
        assert list(reader.topics()) == ['/note']
        told = [(damage.kind, damage.topic) for damage in reader.damages if damage.kind == 'other-serialization']
        assert told == [('other-serialization', '/log'), ('other-serialization', '/no_schema')]
        with pytest.raises(BagError, match="'/log' is serialized as json, and only cdr is read here"):
            list(reader.raw_messages(['/log']))


@pytest.mark.parametrize(
    ('content', 'advice'),
    [
        (b'#ROSBAG V2.0\n' + bytes(90), 'a bag of ROS 1: .*rosbags-convert'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n', 'git lfs pull'),
        (b'<!DOCTYPE html><html></html>', 'a web page'),
    ],
)
@pytest.mark.parametrize('name', ['drive.bag', 'drive.mcap', 'drive.db3', 'folder/drive.mcap'])
@pytest.mark.parametrize('salvage', [False, True])
def test_what_people_take_for_a_bag_is_named_with_the_way_out(
    tmp_path: Path, content: bytes, advice: str, name: str, salvage: bool
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    path = file
    if file.parent != tmp_path:
        path = file.parent
        (path / 'metadata.yaml').write_text('rosbag2_bagfile_information: {}\n', encoding='utf-8')
    with pytest.raises(BagError, match=advice):
        BagReader(path, salvage).__enter__()


@pytest.mark.parametrize('salvage', [False, True])
def test_an_mcap_file_that_does_not_call_itself_one_of_ros_is_whole(tmp_path: Path, salvage: bool) -> None:
    with BagReader(foreign_mcap(tmp_path / 'bare.mcap', '', 'cdr'), salvage) as reader:
        assert [entry.message.data for entry in reader.messages()] == ['hello']
        assert reader.damages == ()
    with pytest.raises(BagError, match='Profile is not ros2'), BagReader(foreign_mcap(tmp_path / 'x.mcap', 'x', 'cdr')):
        pass


@pytest.mark.parametrize('salvage', [False, True])
def test_another_compression_is_refused(tmp_path: Path, salvage: bool) -> None:
    bag = calibrated_bag(tmp_path / 'drive')
    edit_metadata(bag, lambda told: told.update(compression_mode='MESSAGE', compression_format='lz4'))
    with pytest.raises(BagError, match='compressed by lz4; only zstd is read here'), BagReader(bag, salvage):
        pass
    edit_metadata(bag, lambda told: told.update(compression_mode='NONE'))
    with BagReader(bag, salvage) as reader:
        assert len(list(reader.raw_messages())) == 2 * FRAMES


@pytest.mark.parametrize('storage', STORAGES)
@pytest.mark.parametrize('version', [2, 3, 4, 5, 8, 9])
def test_bags_of_all_versions_give_what_they_promise(tmp_path: Path, storage: str, version: int) -> None:
    """As rosbag2's own test bags have it: no QoS, QoS as text or as numbers, the folder before the names of files."""
    bag = calibrated_bag(tmp_path / 'drive', storage)

    def age(told: dict[str, Any]) -> None:
        told['version'] = version
        for entry in told['topics_with_message_count']:
            topic = entry['topic_metadata']
            if version < 8:
                del topic['type_description_hash']
            if version < 4:
                del topic['offered_qos_profiles']
            elif version < 9:
                topic['offered_qos_profiles'] = (
                    '- history: 3\n  depth: 0\n  reliability: 1\n  durability: 2\n'
                    + ''.join(
                        f'  {name}:\n    sec: 9223372036\n    nsec: 854775807\n'
                        for name in ('deadline', 'lifespan', 'liveliness_lease_duration')
                    )
                    + '  liveliness: 1\n  avoid_ros_namespace_conventions: false'
                )
        for name in {3: ('files',), 2: ('files', 'compression_format', 'compression_mode')}.get(version, ()):
            del told[name]
        if version < 4:
            told['relative_file_paths'] = [f'drive/{name}' for name in told['relative_file_paths']]

    edit_metadata(bag, age)
    with BagReader(bag) as reader:
        promised = {name: entry.message_count for name, entry in reader.topics().items()}
        read = [entry.topic for entry in reader.messages()]
        assert reader.damages == ()
    assert promised == {name: read.count(name) for name in promised} == {TOPIC: FRAMES, INFO_TOPIC: FRAMES}
