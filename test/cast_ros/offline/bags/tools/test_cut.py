# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from drawn_bags import START_NS, STEP_NS, TOPIC, write_labelled_bag
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, BagWriter, RawMessage, TopicDefinition
from cast_ros.offline.bags.messages import header, text
from cast_ros.offline.bags.tools.cut import cut_bag

FRAMES = 20
NOWHERE = QosTime(0, 0)
BEST_EFFORT = Qos(
    QosHistory.KEEP_LAST,
    5,
    QosReliability.BEST_EFFORT,
    QosDurability.VOLATILE,
    NOWHERE,
    NOWHERE,
    QosLiveliness.AUTOMATIC,
    NOWHERE,
    False,
)


def raw_messages(path: Path) -> list[RawMessage]:
    with BagReader(path) as reader:
        return list(reader.raw_messages())


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return write_labelled_bag(tmp_path / 'drive.mcap', FRAMES)


@pytest.mark.parametrize('name', ['part.mcap', 'part.db3', 'part'])
@pytest.mark.parametrize('offset_s', [0.0, START_NS / 1e9])
def test_the_span_is_kept_with_its_bytes(bag: Path, tmp_path: Path, name: str, offset_s: float) -> None:
    report = cut_bag(bag, tmp_path / name, offset_s + 0.45, offset_s + 0.95)
    expected = [raw for raw in raw_messages(bag) if START_NS + 4 * STEP_NS < raw.recorded_ns <= START_NS + 9 * STEP_NS]
    cut = raw_messages(tmp_path / name)
    assert cut[2:] == expected
    assert (report.messages, report.carried, report.damages) == (22, 2, ())
    # What holds for the whole drive comes first, at the beginning of the cut.
    assert [raw.topic for raw in cut[:2]] == ['/ground_truth/about', '/ground_truth/label_info']
    assert [raw.recorded_ns - START_NS for raw in cut[:2]] == pytest.approx([450_000_000] * 2, abs=200)


def test_the_end_is_open_to_its_right(bag: Path, tmp_path: Path) -> None:
    cut_bag(bag, tmp_path / 'one.mcap', None, 0.5, [TOPIC])
    cut_bag(bag, tmp_path / 'two.mcap', 0.5, None, [TOPIC])
    both = raw_messages(tmp_path / 'one.mcap') + raw_messages(tmp_path / 'two.mcap')
    assert both == [raw for raw in raw_messages(bag) if raw.topic == TOPIC]
    assert len(raw_messages(tmp_path / 'one.mcap')) == 5


def test_types_qos_and_latched_topics_are_kept(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg('std_msgs/Header header\nint32 level\n', 'robot_msgs/msg/Battery'))
    latched = BEST_EFFORT._replace(durability=QosDurability.TRANSIENT_LOCAL)
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        battery = writer.add_connection(
            '/battery', 'robot_msgs/msg/Battery', typestore=store, offered_qos_profiles=[BEST_EFFORT]
        )
        note = writer.add_connection(
            '/note', 'std_msgs/msg/String', typestore=store, offered_qos_profiles=[latched, BEST_EFFORT]
        )
        data = store.serialize_cdr(store.types['std_msgs/msg/String']('standing'), 'std_msgs/msg/String')
        writer.write(note, 10, bytes(data))
        for at in (20, 5_000_000_000):
            level = store.types['robot_msgs/msg/Battery'](header(at, 'base'), 80)
            writer.write(battery, at, bytes(store.serialize_cdr(level, 'robot_msgs/msg/Battery')))
    cut_bag(tmp_path / 'bag', tmp_path / 'part', 1, None)
    with BagReader(tmp_path / 'bag') as whole, BagReader(tmp_path / 'part') as part:
        assert part.definitions() == whole.definitions()
        assert part.definitions()['/battery'].qos == (BEST_EFFORT,)
        assert [entry.message.level for entry in part.messages(['/battery'])] == [80]
        assert [entry.message.data for entry in part.messages(['/note'])] == ['standing']
        assert part.topics()['/note'].latched


def test_damaged_messages_are_kept_unless_they_are_to_be_left_out(bag: Path, tmp_path: Path) -> None:
    with BagReader(bag) as reader, BagWriter(tmp_path / 'spoilt.mcap') as writer:
        for number, raw in enumerate(reader.raw_messages()):
            data = raw.data[: len(raw.data) // 2] if number in (10, 11, 40) else raw.data
            writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, data)
        writer.declare(TopicDefinition('/lost', 'lost_msgs/msg/Lost', '', '', ()))
        writer.write_raw('/lost', 'lost_msgs/msg/Lost', START_NS + FRAMES * STEP_NS, b'whatever')
    whole = cut_bag(tmp_path / 'spoilt.mcap', tmp_path / 'copy.mcap', None, None)
    assert (whole.messages, whole.dropped) == (4 * FRAMES + 3, 0)
    part = cut_bag(tmp_path / 'spoilt.mcap', tmp_path / 'good.mcap', None, None, drop_damaged=True)
    assert (part.messages, part.dropped) == (4 * FRAMES, 3)
    good = raw_messages(tmp_path / 'good.mcap')
    assert set(good) < set(raw_messages(tmp_path / 'spoilt.mcap'))
    assert good[-1].topic == '/lost'
    # Of another span, they are none of its business.
    assert cut_bag(tmp_path / 'spoilt.mcap', tmp_path / 'end.mcap', 1.5, None, drop_damaged=True).dropped == 0


def test_latched_pictures_from_before_are_not_carried(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/image', 'sensor_msgs/msg/Image', latched=True)
        writer.write_raw('/image', 'sensor_msgs/msg/Image', 0, b'first')
        writer.write_raw('/image', 'sensor_msgs/msg/Image', 2_000_000_000, b'second')
    cut_bag(tmp_path / 'bag', tmp_path / 'part', 1, None)
    assert [raw.data for raw in raw_messages(tmp_path / 'part')] == [b'second']


@pytest.mark.parametrize(
    ('span', 'topics', 'reason'),
    [
        ((5, 6), None, 'no message there: it goes from 0 to 1.900 s'),
        ((0.5, 0.2), None, 'no message there'),
        ((float('nan'), None), None, 'nan is no time'),
        ((None, float('inf')), None, 'inf is no time'),
        ((0, 1), ['/nothing'], "no topic '/nothing'; it has: /camera/camera_info"),
    ],
)
def test_a_cut_of_nothing_leaves_nothing_behind(
    bag: Path, tmp_path: Path, span: tuple[float | None, float | None], topics: list[str] | None, reason: str
) -> None:
    with pytest.raises(BagError, match=reason):
        cut_bag(bag, tmp_path / 'part.mcap', *span, topics)
    assert [path.name for path in tmp_path.iterdir()] == ['drive.mcap']


def test_the_bag_that_is_cut_is_never_overwritten(bag: Path) -> None:
    before = bag.read_bytes()
    with pytest.raises(BagError, match='exists already'):
        cut_bag(bag, bag, None, None)
    assert bag.read_bytes() == before


def test_a_damaged_bag_is_cut_up_to_its_damage(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive.db3', FRAMES)
    content = bag.read_bytes()
    bag.write_bytes(content[: len(content) // 2])
    report = cut_bag(bag, tmp_path / 'whole.mcap', None, None)
    (damage,) = report.damages
    assert report.messages == damage.messages == len(raw_messages(tmp_path / 'whole.mcap'))
    assert 20 < report.messages < 60


def test_text_of_a_foreign_bag_is_not_lost(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/note', 1, text('first'))
    cut_bag(tmp_path / 'bag', tmp_path / 'a.db3', None, None)
    cut_bag(tmp_path / 'a.db3', tmp_path / 'b.mcap', None, None)
    with BagReader(tmp_path / 'bag') as one, BagReader(tmp_path / 'b.mcap') as other:
        assert one.definitions()['/note'].text == other.definitions()['/note'].text != ''
