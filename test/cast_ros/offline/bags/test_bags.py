# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from cast_ros.errors import BagError
from cast_ros.images import decode_image
from cast_ros.offline.bags import BagReader, BagWriter, typestore
from cast_ros.offline.bags.messages import camera_info, compressed_image, header, image, label_info, stamp_ns, text

START_NS = 1_700_000_000_123_456_789
STORAGES = ('mcap', 'sqlite3')
# REP 2016 hashes of upstream vision_msgs 4.1.1.
UPSTREAM_HASHES = {
    'BoundingBox2D': '008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f',
    'Detection2D': '0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea',
    'Detection2DArray': '214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968',
    # The 3D types: of the fields that the documentation of Jazzy's package shows.
    'BoundingBox3D': 'bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698',
    'Detection3D': 'ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b',
    'Detection3DArray': '793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018',
    'LabelInfo': '3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783',
    'ObjectHypothesis': '51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90',
    'ObjectHypothesisWithPose': '41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc',
    'Point2D': 'eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247',
    'Pose2D': 'b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648',
    'VisionClass': '1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a',
}


def detections(at_ns: int) -> Any:
    types = typestore().types
    hypothesis = types['vision_msgs/msg/ObjectHypothesis']('car', 0.75)
    quaternion = types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0)
    pose = types['geometry_msgs/msg/Pose'](types['geometry_msgs/msg/Point'](0.0, 0.0, 0.0), quaternion)
    covariance = types['geometry_msgs/msg/PoseWithCovariance'](pose, np.zeros(36))
    result = types['vision_msgs/msg/ObjectHypothesisWithPose'](hypothesis, covariance)
    centre = types['vision_msgs/msg/Pose2D'](types['vision_msgs/msg/Point2D'](10.5, 20.25), 0.0)
    box = types['vision_msgs/msg/BoundingBox2D'](centre, 4.0, 6.0)
    at = header(at_ns, 'camera')
    return types['vision_msgs/msg/Detection2DArray'](at, [types['vision_msgs/msg/Detection2D'](at, [result], box, '1')])


def write_drive(path: Path, storage: str = 'mcap', frames: int = 3) -> Path:
    with BagWriter(path, storage) as writer:  # type: ignore[arg-type]
        writer.add_topic('/labels', 'vision_msgs/msg/LabelInfo', latched=True)
        writer.add_topic('/empty', 'std_msgs/msg/String')
        writer.write('/labels', START_NS, label_info(START_NS, 'camera', {7: 'road', 26: 'car'}))
        for index in range(frames):
            at_ns = START_NS + index * 100_000_000
            pixels = np.full((4, 6, 3), index, np.uint8)
            writer.write('/image', at_ns, image(at_ns, 'camera', pixels, 'bgr8'))
            writer.write('/image/compressed', at_ns, compressed_image(at_ns, 'camera', b'\xff\xd8', 'jpeg'))
            writer.write('/camera_info', at_ns, camera_info(at_ns, 'camera', (6, 4), (5.0, 5.5), (2.5, 1.5)))
            writer.write('/detections', at_ns, detections(at_ns))
    return path


@pytest.mark.parametrize('storage', STORAGES)
def test_every_message_comes_back_as_it_was_written(tmp_path: Path, storage: str) -> None:
    with BagReader(write_drive(tmp_path / 'drive', storage)) as reader:
        entries = list(reader.messages(['/image', '/camera_info', '/detections']))
    assert [entry.topic for entry in entries[:3]] == ['/image', '/camera_info', '/detections']
    assert [entry.recorded_ns for entry in entries] == [START_NS + k * 100_000_000 for k in range(3) for _ in range(3)]
    assert all(stamp_ns(entry.message) == entry.recorded_ns for entry in entries)
    assert [int(decode_image(entry.message)[0, 0, 0]) for entry in entries[::3]] == [0, 1, 2]
    assert entries[1].message.k.tolist() == [5.0, 0, 2.5, 0, 5.5, 1.5, 0, 0, 1]
    assert (entries[1].message.width, entries[1].message.height) == (6, 4)
    detection = entries[2].message.detections[0]
    assert (detection.results[0].hypothesis.class_id, detection.bbox.center.position.y) == ('car', 20.25)


@pytest.mark.parametrize('storage', STORAGES)
def test_topics_tell_type_count_and_whether_they_are_latched(tmp_path: Path, storage: str) -> None:
    with BagReader(write_drive(tmp_path / 'drive', storage)) as reader:
        topics = reader.topics()
        duration_ns = reader.duration_ns
    assert list(topics) == ['/camera_info', '/detections', '/empty', '/image', '/image/compressed', '/labels']
    assert topics['/image'] == ('/image', 'sensor_msgs/msg/Image', 3, False)
    assert topics['/labels'] == ('/labels', 'vision_msgs/msg/LabelInfo', 1, True)
    assert topics['/empty'].message_count == 0
    assert duration_ns == 200_000_000


@pytest.mark.parametrize('name', ['drive.mcap', 'drive.db3'])
def test_a_name_of_a_storage_file_makes_one_bare_file(tmp_path: Path, name: str) -> None:
    path = write_drive(tmp_path / name)
    assert path.is_file()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    with BagReader(path) as reader:
        assert len(list(reader.messages())) == 13


@pytest.mark.parametrize('storage', STORAGES)
def test_the_storage_file_inside_a_bag_opens_on_its_own(tmp_path: Path, storage: str) -> None:
    bag = write_drive(tmp_path / 'drive', storage)
    inner = next(path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))
    assert inner.stem == 'drive'
    with BagReader(inner) as reader:
        assert len(list(reader.messages(['/image']))) == 3


def test_rosbags_itself_opens_what_we_write(tmp_path: Path) -> None:
    with AnyReader([write_drive(tmp_path / 'drive')]) as reader:
        assert {connection.topic for connection in reader.connections} >= {'/image', '/detections'}
        connection, _, raw = next(reader.messages([c for c in reader.connections if c.topic == '/detections']))
        assert reader.deserialize(raw, connection.msgtype).detections[0].id == '1'


def test_raw_bytes_pass_from_bag_to_bag_unchanged(tmp_path: Path) -> None:
    with BagReader(write_drive(tmp_path / 'one')) as reader, BagWriter(tmp_path / 'two', 'sqlite3') as writer:
        first = list(reader.raw_messages())
        for raw in first:
            writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, raw.data)
    with BagReader(tmp_path / 'two') as reader:
        assert sorted(reader.raw_messages()) == sorted(first)


@pytest.mark.parametrize('mode', [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize('plugin', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_compressed_bags_of_rosbag2_are_read(tmp_path: Path, mode: CompressionMode, plugin: StoragePlugin) -> None:
    writer = Writer(tmp_path / 'bag', version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/note', 'std_msgs/msg/String', typestore=typestore())
        writer.write(connection, 5, bytes(typestore().serialize_cdr(text('hello'), 'std_msgs/msg/String')))
    with BagReader(tmp_path / 'bag') as reader:
        assert [entry.message.data for entry in reader.messages()] == ['hello']


def foreign_bag(path: Path) -> Path:
    """A bag with a type that we do not know, which brings its own definition."""
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg('std_msgs/Header header\nint32 level\n', 'robot_msgs/msg/Battery'))
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        battery = store.types['robot_msgs/msg/Battery'](header(7, 'base'), 80)
        connection = writer.add_connection('/battery', 'robot_msgs/msg/Battery', typestore=store)
        writer.write(connection, 7, bytes(store.serialize_cdr(battery, 'robot_msgs/msg/Battery')))
        nonsense = writer.add_connection('/odd', 'odd_msgs/msg/Odd', msgdef='no definition', rihs01='RIHS01_0')
        writer.write(nonsense, 8, b'\x00\x01\x00\x00')
    return path


def test_a_type_that_only_the_bag_defines_is_decoded(tmp_path: Path) -> None:
    with BagReader(foreign_bag(tmp_path / 'bag')) as reader:
        assert [entry.message.level for entry in reader.messages(['/battery'])] == [80]


def test_an_unknown_type_hinders_only_who_asks_for_it(tmp_path: Path) -> None:
    with BagReader(foreign_bag(tmp_path / 'bag')) as reader:
        assert [raw.data for raw in reader.raw_messages(['/odd'])] == [b'\x00\x01\x00\x00']
        with pytest.raises(BagError, match=r"odd_msgs/msg/Odd of topic '/odd' is unknown"):
            list(reader.messages(['/odd']))


def test_a_wrong_topic_name_lists_the_topics_that_are_there(tmp_path: Path) -> None:
    with (
        BagReader(write_drive(tmp_path / 'drive')) as reader,
        pytest.raises(BagError, match=r"no topic '/imag'; it has: .*/image \(sensor_msgs/msg/Image, 3\)"),
    ):
        list(reader.messages(['/imag']))


def test_a_missing_bag_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r'nowhere\.mcap does not exist'):
        BagReader(tmp_path / 'nowhere.mcap')


def test_a_folder_without_metadata_names_the_files_that_can_be_opened(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / 'drive')
    (bag / 'metadata.yaml').unlink()
    with pytest.raises(BagError, match=r'without metadata\.yaml.*open one of its files instead: drive\.mcap'):
        BagReader(bag)


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
@pytest.mark.parametrize('keep', [0, 4, 100, 0.3, 0.9])
def test_a_bag_that_was_cut_short_is_a_bag_error(tmp_path: Path, suffix: str, keep: float) -> None:
    path = write_drive(tmp_path / f'drive{suffix}', frames=40)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(BagError, match=r'drive\.(mcap|db3)'), BagReader(path) as reader:
        list(reader.messages())


@pytest.mark.parametrize('suffix', ['.mcap', '.db3', '.bag', '.txt', ''])
def test_garbage_is_a_bag_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f'garbage{suffix}'
    path.write_bytes(np.random.default_rng(3).bytes(5000))
    with pytest.raises(BagError, match='garbage'), BagReader(path) as reader:
        list(reader.messages())


@pytest.mark.parametrize('content', ['', 'a: [', 'rosbag2_bagfile_information: {version: 99}', '- 1\n- 2\n', 'text'])
def test_broken_metadata_is_a_bag_error(tmp_path: Path, content: str) -> None:
    bag = write_drive(tmp_path / 'drive')
    (bag / 'metadata.yaml').write_text(content)
    with pytest.raises(BagError, match='drive'), BagReader(bag) as reader:
        list(reader.messages())


def test_a_damaged_message_is_a_bag_error(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        writer.write_raw('/image', 'sensor_msgs/msg/Image', 5, b'\x00\x01\x00\x00\x01')
    with (
        BagReader(tmp_path / 'drive.mcap') as reader,
        pytest.raises(BagError, match=r"message on '/image' recorded at 5 ns is damaged"),
    ):
        list(reader.messages())


def test_who_decodes_message_by_message_goes_on_after_a_damaged_one(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        writer.write('/note', 1, text('first'))
        writer.write_raw('/note', 'std_msgs/msg/String', 2, b'\x00\x01\x00\x00\x01')
        writer.write('/note', 3, text('last'))
    with BagReader(tmp_path / 'drive.mcap') as reader:
        first, damaged, last = reader.raw_messages(['/note'])
        with pytest.raises(BagError, match=r"'/note' recorded at 2 ns is damaged"):
            reader.decode(damaged)
        assert [reader.decode(raw).data for raw in (first, last)] == ['first', 'last']


@pytest.mark.parametrize('name', ['drive', 'drive.mcap'])
def test_nothing_is_left_of_a_bag_whose_writing_failed(tmp_path: Path, name: str) -> None:
    def write_and_fail() -> None:
        with BagWriter(tmp_path / name) as writer:
            writer.write('/note', 1, text('x'))
            raise RuntimeError('stop')

    with pytest.raises(RuntimeError, match='stop'):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_a_bag_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / 'drive.mcap'
    with BagWriter(path) as writer:
        writer.write('/note', 1, text('x'))
        assert not path.exists()
    assert path.exists()


def test_an_existing_bag_is_not_overwritten(tmp_path: Path) -> None:
    path = write_drive(tmp_path / 'drive.mcap')
    before = path.read_bytes()
    with pytest.raises(BagError, match='exists already'):
        BagWriter(path)
    assert path.read_bytes() == before


def test_a_topic_keeps_its_type(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        writer.write('/note', 1, text('x'))
        with pytest.raises(BagError, match="topic '/note' is std_msgs/msg/String"):
            writer.write('/note', 2, label_info(2, '', {}))


def test_unknown_types_and_storages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="storage 'tape' is not known"):
        BagWriter(tmp_path / 'drive', 'tape')  # type: ignore[arg-type]
    with BagWriter(tmp_path / 'drive') as writer, pytest.raises(BagError, match='no_msgs/msg/No'):
        writer.add_topic('/no', 'no_msgs/msg/No')


def test_a_message_with_a_wrong_field_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive') as writer, pytest.raises(BagError, match='does not serialize'):
        writer.write('/note', 1, text(5))  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written_to_is_a_bag_error(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(BagError, match='cannot be created'), BagWriter(tmp_path / 'file' / 'drive'):
        pass


def test_a_bag_without_messages_is_a_bag(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'empty.mcap') as writer:
        writer.add_topic('/note', 'std_msgs/msg/String')
    with BagReader(tmp_path / 'empty.mcap') as reader:
        assert list(reader.messages()) == []
        assert reader.duration_ns == 0
        assert reader.topics()['/note'].message_count == 0


def test_vision_msgs_are_the_upstream_ones_on_the_wire() -> None:
    ours = {name: typestore().hash_rihs01(f'vision_msgs/msg/{name}') for name in UPSTREAM_HASHES}
    assert ours == {name: f'RIHS01_{digest}' for name, digest in UPSTREAM_HASHES.items()}


def test_the_definitions_that_are_compiled_are_the_same(project_root: Path) -> None:
    folder = project_root / 'tools' / 'ros' / 'msgs' / 'vision_msgs' / 'msg'
    store = get_typestore(Stores.ROS2_JAZZY)
    for path in folder.glob('*.msg'):
        store.register(get_types_from_msg(path.read_text(), f'vision_msgs/msg/{path.stem}'))
    assert {path.stem for path in folder.glob('*.msg')} == set(UPSTREAM_HASHES)
    for name, digest in UPSTREAM_HASHES.items():
        assert store.hash_rihs01(f'vision_msgs/msg/{name}') == f'RIHS01_{digest}'


def test_a_moved_bag_still_opens(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / 'drive')
    shutil.move(bag, tmp_path / 'elsewhere')
    with BagReader(tmp_path / 'elsewhere') as reader:
        assert len(list(reader.messages(['/image']))) == 3


def test_a_time_that_no_database_holds_is_a_bag_error(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='cannot be written to'), BagWriter(tmp_path / 'drive.db3') as writer:
        writer.write('/note', 1 << 63, text('late'))
    assert list(tmp_path.iterdir()) == []
