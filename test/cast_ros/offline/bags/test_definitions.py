# SPDX-License-Identifier: Apache-2.0
"""The bag's own definition of a type decodes its messages, whatever we know under the same name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from drawn_bags import TOPIC, drive, write_bag
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, BagWriter, typestore
from cast_ros.offline.bags.messages import text
from cast_ros.offline.bags.tools.check import check_bag
from cast_ros.offline.bags.tools.cut import cut_bag

MARKER = 'visualization_msgs/msg/Marker'
STORAGES = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]


def marker(store: Typestore, number: int) -> bytes:
    types: dict[str, Any] = dict(store.types)
    point, quaternion = types['geometry_msgs/msg/Point'], types['geometry_msgs/msg/Quaternion']
    fields = {
        'header': types['std_msgs/msg/Header'](types['builtin_interfaces/msg/Time'](1, 2), 'map'),
        'ns': 'lanes',
        'id': number,
        'type': 2,
        'action': 0,
        'pose': types['geometry_msgs/msg/Pose'](point(1.0, 2.0, 3.0), quaternion(0.0, 0.0, 0.0, 1.0)),
        'scale': types['geometry_msgs/msg/Vector3'](1.0, 1.0, 1.0),
        'color': types['std_msgs/msg/ColorRGBA'](1.0, 0.0, 0.0, 1.0),
        'lifetime': types['builtin_interfaces/msg/Duration'](0, 0),
        'frame_locked': False,
        'points': [],
        'colors': [],
        'text': f'lane {number}',
        'mesh_resource': '',
        'mesh_use_embedded_materials': False,
    }
    return bytes(store.serialize_cdr(types[MARKER](**fields), MARKER))


def foxy_bag(path: Path, plugin: StoragePlugin) -> Path:
    """Markers as they were before Humble: without texture, UV and mesh file."""
    foxy = get_typestore(Stores.ROS2_FOXY)
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        connection = writer.add_connection('/markers', MARKER, typestore=foxy)
        for number in range(4):
            writer.write(connection, number, marker(foxy, number))
    return path


def forget_definitions(bag: Path) -> None:
    (file,) = bag.glob('*.db3')
    with closing(sqlite3.connect(file)) as database, database:
        database.execute('DELETE FROM message_definitions')


@pytest.mark.parametrize('plugin', STORAGES)
def test_an_old_marker_is_decoded_by_the_definition_in_the_bag(tmp_path: Path, plugin: StoragePlugin) -> None:
    bag = foxy_bag(tmp_path / 'foxy', plugin)
    assert check_bag(bag).findings == ()
    report = cut_bag(bag, tmp_path / 'cut.mcap', None, None, drop_damaged=True)
    assert (report.messages, report.dropped) == (4, 0)
    for path in (bag, tmp_path / 'cut.mcap'):
        with BagReader(path) as reader:
            found = [entry.message for entry in reader.messages()]
        assert [entry.text for entry in found] == [f'lane {number}' for number in range(4)]
        assert not hasattr(found[0], 'texture_resource')


def test_what_its_own_definition_does_not_decode_is_damaged(tmp_path: Path) -> None:
    foxy = get_typestore(Stores.ROS2_FOXY)
    with Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/markers', MARKER, typestore=foxy)
        writer.write(connection, 1, marker(foxy, 1))
        writer.write(connection, 2, marker(foxy, 2)[:100])
    assert [(entry.kind, entry.count) for entry in check_bag(tmp_path / 'bag').findings] == [('damaged-message', 1)]
    report = cut_bag(tmp_path / 'bag', tmp_path / 'cut.mcap', None, None, drop_damaged=True)
    assert (report.messages, report.dropped) == (1, 1)


def test_nothing_that_may_be_of_another_version_is_advised_to_be_deleted(tmp_path: Path) -> None:
    bag = foxy_bag(tmp_path / 'foxy', StoragePlugin.SQLITE3)
    forget_definitions(bag)
    (finding,) = check_bag(bag).findings
    assert (finding.kind, finding.topic, finding.count) == ('other-definition', '/markers', 4)
    assert '--drop-damaged' not in finding.advice
    assert 'of a definition that the bag does not bring' in finding.first.detail
    report = cut_bag(bag, tmp_path / 'cut.mcap', None, None, drop_damaged=True)
    assert (report.messages, report.dropped) == (4, 0)


def test_where_our_definition_fits_the_others_a_message_is_damaged(tmp_path: Path) -> None:
    """Bags before Iron define nothing; a picture that lost its end is damaged there as well."""
    bag = write_bag(tmp_path / 'drive.db3', drive(5))
    with closing(sqlite3.connect(bag)) as database, database:
        database.execute('DELETE FROM message_definitions')
        database.execute('UPDATE messages SET data = substr(data, 1, 200) WHERE id = 1')
    kinds = [(entry.kind, entry.topic, entry.count) for entry in check_bag(bag).findings]
    assert kinds == [('damaged-message', TOPIC, 1), ('no-camera-info', TOPIC, 1)]
    report = cut_bag(bag, tmp_path / 'cut.mcap', None, None, drop_damaged=True)
    assert (report.messages, report.dropped) == (4, 1)


def test_two_definitions_of_one_type_are_tried_both(tmp_path: Path) -> None:
    path = tmp_path / 'two.mcap'
    old = get_typestore(Stores.EMPTY)
    old.register(get_types_from_msg('int64 data\nint64 more\n', 'std_msgs/msg/String'))
    writer = McapWriter(str(path))
    writer.start(profile='ros2')
    numbers: Any = old.types['std_msgs/msg/String']
    for topic, definition, store, message in (
        ('/a', b'string data', typestore(), text('hello')),
        ('/b', b'int64 data\nint64 more', old, numbers(1, 2)),
    ):
        schema = writer.register_schema('std_msgs/msg/Odd', 'ros2msg', definition)
        data = bytes(store.serialize_cdr(message, 'std_msgs/msg/String'))
        writer.add_message(writer.register_channel(topic, 'cdr', schema), 1, data, 1)
    writer.finish()
    assert check_bag(path).findings == ()
    with BagReader(path) as reader:
        assert {entry.topic: entry.message.data for entry in reader.messages()} == {'/a': 'hello', '/b': 1}


def test_a_picture_type_without_the_fields_of_one_is_unknown_and_kept(tmp_path: Path) -> None:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg('int32 height\nint32 width\n', 'sensor_msgs/msg/Image'))
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, 'sensor_msgs/msg/Image', typestore=store)
        small: Any = store.types['sensor_msgs/msg/Image']
        writer.write(connection, 1, bytes(store.serialize_cdr(small(4, 5), 'sensor_msgs/msg/Image')))
    kinds = [entry.kind for entry in check_bag(tmp_path / 'bag').findings]
    assert kinds == ['unknown-type', 'no-camera-info']
    report = cut_bag(tmp_path / 'bag', tmp_path / 'cut.mcap', None, None, drop_damaged=True)
    assert (report.messages, report.dropped) == (1, 0)
    with BagReader(tmp_path / 'bag') as reader, pytest.raises(BagError, match='without fields that are needed here'):
        list(reader.messages())


def test_an_empty_message_is_decoded(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        empty: Any = typestore().types['std_msgs/msg/Empty']
        writer.write('/ping', 1, empty())
    assert check_bag(tmp_path / 'bag').findings == ()
