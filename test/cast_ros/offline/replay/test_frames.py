# SPDX-License-Identifier: Apache-2.0
"""Pictures of a bag with what belongs to them, in order, none of them lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compressed_depth import compressed_depth_png
from drawn_bags import (
    HEIGHT,
    START_NS,
    STEP_NS,
    TOPIC,
    WIDTH,
    drive,
    picture_message,
    view,
    write_bag,
    write_labelled_bag,
)

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagWriter
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.messages import camera_info, compressed_image, image
from cast_ros.offline.replay.frames import PictureBag, RecordedFrame


def frames_of(path: Path, topic: str | None = None) -> list[RecordedFrame]:
    with PictureBag(path, topic) as bag:
        return list(bag.frames())


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('encoding', ['bgr8', 'rgb8', 'png'])
def test_every_picture_comes_once_in_order_with_its_pixels(tmp_path: Path, storage: str, encoding: str) -> None:
    shots = drive(7)
    found = frames_of(write_bag(tmp_path / 'bag', shots, encoding, storage))
    assert [frame.index for frame in found] == list(range(7))
    assert [frame.stamp_ns for frame in found] == [stamp for stamp, _ in shots]
    for frame, (_, rgb) in zip(found, shots, strict=True):
        assert frame.rgb is not None
        np.testing.assert_array_equal(frame.rgb, rgb)
        assert (frame.problem, frame.fx_px, frame.labels) == ('', None, {})


def test_labels_and_calibration_come_with_their_picture(tmp_path: Path) -> None:
    found = frames_of(write_labelled_bag(tmp_path / 'bag', 5))
    assert all(set(frame.labels) == {topics.INSTANCES, topics.DEPTH} for frame in found)
    assert all(frame.fx_px is not None and frame.fx_px > 0 for frame in found)


def test_a_calibration_of_another_size_is_none(tmp_path: Path) -> None:
    found = frames_of(write_labelled_bag(tmp_path / 'bag', 2, camera_size=(WIDTH * 2, HEIGHT)))
    assert [frame.fx_px for frame in found] == [None, None]
    told = f'camera_info is for {2 * WIDTH}x{HEIGHT} pixels, the picture has {WIDTH}x{HEIGHT}'
    assert all(frame.uncalibrated.endswith(told) for frame in found)


def test_a_picture_without_labels_is_not_lost(tmp_path: Path) -> None:
    """Labels of every other picture alone."""
    whole = tmp_path / 'whole'
    write_labelled_bag(whole, 6)
    from cast_ros.offline.bags import BagReader

    with BagReader(whole) as reader, BagWriter(tmp_path / 'sparse') as writer:
        seen = 0
        for raw in reader.raw_messages():
            seen += raw.topic == topics.INSTANCES
            if raw.topic != topics.INSTANCES or seen % 2:
                writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, raw.data)
    found = frames_of(tmp_path / 'sparse')
    assert [topics.INSTANCES in frame.labels for frame in found] == [True, False] * 3
    assert [topics.DEPTH in frame.labels for frame in found] == [True] * 6
    assert [frame.index for frame in found] == list(range(6))


def test_a_picture_that_cannot_be_decoded_says_why_and_stays(tmp_path: Path) -> None:
    broken = picture_message(START_NS + STEP_NS, view(1), 'bgr8')
    broken.data = broken.data[: len(broken.data) // 2]
    shots = [(START_NS, view(0)), (START_NS + STEP_NS, broken), (START_NS + 2 * STEP_NS, view(2))]
    found = frames_of(write_bag(tmp_path / 'bag', shots))
    assert [frame.rgb is None for frame in found] == [False, True, False]
    assert 'data' in found[1].problem
    assert found[1].stamp_ns == START_NS + STEP_NS


def test_a_driver_without_stamps_gets_the_time_of_recording(tmp_path: Path) -> None:
    found = frames_of(write_bag(tmp_path / 'bag', [(0, view(0)), (0, view(1))]))
    assert [frame.stamp_ns for frame in found] == [START_NS, START_NS + STEP_NS]


def test_the_calibration_is_found_beside_the_pictures_even_when_it_comes_late(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as writer:
        for index, (stamp, rgb) in enumerate(drive(3)):
            writer.write('/front/image_raw/compressed', START_NS + index, picture_message(stamp, rgb, 'png'))
        writer.write(
            '/front/camera_info', START_NS + 9, camera_info(START_NS, '/camera', (WIDTH, HEIGHT), (70, 70), (8, 8))
        )
    assert [frame.fx_px for frame in frames_of(tmp_path / 'bag')] == [70.0] * 3


@pytest.mark.parametrize(
    ('frame', 'topic', 'fx_px', 'told'),
    [
        ('rear', '/front/image_raw', None, "camera_info is of frame 'rear', the picture of 'camera'"),
        ('camera', '/front/image_raw', 70.0, ''),
        ('camera', '/front/image_rect_color', 50.0, ''),
    ],
)
def test_the_calibration_is_the_one_that_the_node_would_take(
    tmp_path: Path, frame: str, topic: str, fx_px: float | None, told: str
) -> None:
    info = camera_info(START_NS, frame, (WIDTH, HEIGHT), (70, 70), (8, 8))
    info.p = np.array([50.0, 0, 8, 0, 0, 50, 8, 0, 0, 0, 1, 0])
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/front/camera_info', START_NS, info)
        writer.write(topic, START_NS + 1, picture_message(START_NS, view(0), 'rgb8'))
    (found,) = frames_of(tmp_path / 'bag')
    assert found.fx_px == fx_px
    assert told in found.uncalibrated


def test_the_topics_with_pictures_are_named_when_the_asked_one_is_missing_or_not_alone(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'two') as writer:
        for name in ('/left', '/right'):
            writer.write(name, START_NS, picture_message(START_NS, view(0), 'bgr8'))
    with pytest.raises(BagError, match=r'--topic.*/left \(1\), /right \(1\)'):
        frames_of(tmp_path / 'two')
    with pytest.raises(BagError, match=r"no topic '/middle'.*/left \(1\), /right \(1\)"):
        frames_of(tmp_path / 'two', '/middle')
    assert len(frames_of(tmp_path / 'two', '/left')) == 1
    labelled = write_labelled_bag(tmp_path / 'labelled', 1)
    with pytest.raises(BagError, match='not pictures'):
        frames_of(labelled, topics.ABOUT)
    # Pictures of labels are no candidates.
    with PictureBag(labelled) as bag:
        assert bag.topic == TOPIC


def test_depth_images_are_no_pictures(tmp_path: Path) -> None:
    millimetres = np.full((HEIGHT, WIDTH), 3000, np.uint16)
    packed = compressed_image(START_NS, 'camera', compressed_depth_png(millimetres), '16UC1; compressedDepth png')
    with BagWriter(tmp_path / 'rgbd') as writer:
        writer.write('/aligned/image_raw', START_NS, image(START_NS, 'camera', millimetres, '16UC1'))
        writer.write('/depth/image', START_NS, image(START_NS, 'camera', millimetres.astype(np.float32), '32FC1'))
        writer.write('/depth/image/compressedDepth', START_NS, packed)
        writer.write('/depth/packed', START_NS, packed)
        writer.write('/color/image', START_NS, picture_message(START_NS, view(0), 'bgr8'))
    with PictureBag(tmp_path / 'rgbd') as bag:
        assert bag.topic == '/color/image'
