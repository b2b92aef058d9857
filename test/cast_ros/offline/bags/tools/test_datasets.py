# SPDX-License-Identifier: Apache-2.0
"""Bags to files and back, and videos to bags."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_bags import START_NS, STEP_NS, TOPIC, codes_and_depth, drive, view, write_bag, write_labelled_bag
from drawn_cityscapes import draw_cityscapes
from drawn_streets import FX_PX, draw_streets

from cast_ros.errors import BagError
from cast_ros.images import decode_compressed, decode_compressed_rgb, encode_png
from cast_ros.offline.bags import BagReader, BagWriter
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.messages import compressed_image, image, stamp_ns
from cast_ros.offline.bags.tools.check import check_bag
from cast_ros.offline.bags.tools.from_dataset import CALIBRATION_LEAD_NS, dataset_to_bag, video_to_bag
from cast_ros.offline.bags.tools.from_dataset import START_NS as OUR_START_NS
from cast_ros.offline.bags.tools.to_dataset import bag_to_dataset


def pictures_of(bag: Path, topic: str = topics.IMAGE) -> list[tuple[int, np.ndarray]]:
    with BagReader(bag) as reader:
        return [(stamp_ns(entry.message), decode_compressed_rgb(entry.message)) for entry in reader.messages([topic])]


def test_a_bag_becomes_a_data_set(tmp_path: Path) -> None:
    report = bag_to_dataset(write_labelled_bag(tmp_path / 'my_drive.mcap', 6), TOPIC, tmp_path / 'set', split='val')
    assert (report.pictures, report.skipped) == (6, 0)
    assert report.labels == {topics.INSTANCES: 6, topics.DEPTH: 6}
    label = cv2.imread(
        str(tmp_path / 'set/gtFine/val/my-drive/my-drive_000000_000003_gtFine_instanceIds.png'), cv2.IMREAD_UNCHANGED
    )
    np.testing.assert_array_equal(label, codes_and_depth()[0])
    picture = cv2.imread(str(tmp_path / 'set/leftImg8bit/val/my-drive/my-drive_000000_000003_leftImg8bit.png'))
    assert picture is not None
    np.testing.assert_array_equal(picture[..., ::-1], view(3))
    camera = json.loads((tmp_path / 'set/camera/val/my-drive/my-drive_000000_000003_camera.json').read_text())
    assert (camera['stamp_ns'], camera['fx'], camera['fy']) == (START_NS + 3 * STEP_NS, 50.0, 51.0)
    assert json.loads((tmp_path / 'set/camera_info.json').read_text())['k'] == [50, 0, 32, 0, 51, 24, 0, 0, 1]
    assert json.loads((tmp_path / 'set/ground_truth.json').read_text())['names'] == {
        '7': 'road',
        '23': 'sky',
        '26': 'car',
    }


def test_there_and_back_again_nothing_is_lost(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive.mcap', 8)
    bag_to_dataset(bag, TOPIC, tmp_path / 'set')
    assert dataset_to_bag(tmp_path / 'set', tmp_path / 'back.mcap') == 8
    back = pictures_of(tmp_path / 'back.mcap')
    assert [stamp for stamp, _ in back] == [stamp for stamp, _ in drive(8)]
    for (_, rgb), (_, original) in zip(back, drive(8), strict=True):
        np.testing.assert_array_equal(rgb, original)
    with BagReader(bag) as one, BagReader(tmp_path / 'back.mcap') as other:
        for topic in (topics.INSTANCES, topics.DEPTH):
            first, second = ([entry.message.data.tobytes() for entry in r.messages([topic])] for r in (one, other))
            assert first == second
        for topic, name in ((topics.ABOUT, 'data'), (topics.LABEL_INFO, 'class_map')):
            first, second = ([getattr(entry.message, name) for entry in r.messages([topic])] for r in (one, other))
            assert first == second
        info = next(other.messages([topics.CAMERA_INFO])).message
        assert other.topics()[topics.ABOUT].latched
    assert (info.k[0], info.k[4], info.k[2]) == (50.0, 51.0, 32.0)
    assert check_bag(tmp_path / 'back.mcap').findings == ()


def test_compressed_pictures_keep_their_bytes_and_every_second_is_enough(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive.db3', drive(5), 'jpeg', topic='/cam/image/compressed')
    report = bag_to_dataset(bag, '/cam/image/compressed', tmp_path / 'set', every=2)
    files = sorted((tmp_path / 'set').rglob('*.jpg'))
    assert (report.pictures, [file.name[-22:-16] for file in files]) == (3, ['000000', '000002', '000004'])
    with BagReader(bag) as reader:
        payloads = [entry.message.data.tobytes() for entry in reader.messages()]
    assert [file.read_bytes() for file in files] == payloads[::2]
    assert not (tmp_path / 'set/camera_info.json').exists()
    assert not (tmp_path / 'set/ground_truth.json').exists()


def test_a_calibration_of_another_size_gives_no_focal_length(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive.mcap', 1, camera_size=(128, 96))
    bag_to_dataset(bag, TOPIC, tmp_path / 'set')
    camera = json.loads(next((tmp_path / 'set').rglob('*_camera.json')).read_text())
    assert camera == {'stamp_ns': START_NS, 'width': 64, 'height': 48}


def with_camera_info(path: Path, change: Callable[[int, Any], None]) -> Path:
    """The labelled drive of four pictures, with its camera_info changed; the first argument is its number."""
    with BagReader(write_labelled_bag(path.with_name('whole.mcap'), 4)) as reader, BagWriter(path) as writer:
        number = 0
        for raw in reader.raw_messages():
            if raw.topic == topics.CAMERA_INFO:
                info = reader.decode(raw)
                change(number, info)
                writer.write(raw.topic, raw.recorded_ns, info)
                number += 1
            else:
                writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, raw.data)
    return path


def focal_lengths(dataset: Path) -> list[float | None]:
    return [json.loads(file.read_text()).get('fx') for file in sorted(dataset.rglob('*_camera.json'))]


def test_a_camera_info_that_does_not_fit_is_passed_over_as_in_the_node(tmp_path: Path) -> None:
    def change(number: int, info: Any) -> None:
        if number == 1:
            info.header.frame_id = 'left'
        elif number == 2:
            info.width, info.height = 128, 96
        else:
            info.header.frame_id = '/camera'

    report = bag_to_dataset(with_camera_info(tmp_path / 'drive.mcap', change), TOPIC, tmp_path / 'set')
    assert focal_lengths(tmp_path / 'set') == [50.0] * 4
    assert report.uncalibrated == 0


def test_a_calibration_of_another_camera_is_not_that_of_the_data_set(tmp_path: Path) -> None:
    def change(number: int, info: Any) -> None:
        info.header.frame_id = 'left'

    report = bag_to_dataset(with_camera_info(tmp_path / 'drive.mcap', change), TOPIC, tmp_path / 'set')
    assert focal_lengths(tmp_path / 'set') == [None] * 4
    assert report.uncalibrated == 4
    assert not (tmp_path / 'set/camera_info.json').exists()
    dataset_to_bag(tmp_path / 'set', tmp_path / 'back.mcap')
    with BagReader(tmp_path / 'back.mcap') as reader:
        assert topics.CAMERA_INFO not in reader.topics()


def infos_of(bag: Path) -> list[Any]:
    with BagReader(bag) as reader:
        return [entry.message for entry in reader.messages([topics.CAMERA_INFO])]


def distorted(path: Path, frames: int, change: Callable[[Any], None] = lambda info: None) -> Path:
    """The labelled drive, taken by a lens that is not perfect, before rectification."""
    with BagReader(write_labelled_bag(path.with_name('whole.mcap'), frames)) as reader, BagWriter(path) as writer:
        for raw in reader.raw_messages():
            if raw.topic != '/camera/camera_info':
                writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, raw.data)
                continue
            info = reader.decode(raw)
            info.d, info.distortion_model = np.array([0.1, -0.2, 0.01, 0.02, 0.3]), 'plumb_bob'
            info.r = np.array([0, -1, 0, 1, 0, 0, 0, 0, 1], np.float64)
            info.p = np.array([45, 0, 30, -9, 0, 46, 20, 0, 0, 0, 1, 0], np.float64)
            change(info)
            writer.write(raw.topic, raw.recorded_ns, info)
    return path


def test_distortion_comes_there_and_back(tmp_path: Path) -> None:
    bag_to_dataset(distorted(tmp_path / 'drive.mcap', 2), TOPIC, tmp_path / 'set')
    dataset_to_bag(tmp_path / 'set', tmp_path / 'back.mcap')
    first, second = infos_of(tmp_path / 'drive.mcap'), infos_of(tmp_path / 'back.mcap')
    assert len(first) == len(second) == 2
    for one, other in zip(first, second, strict=True):
        assert (other.width, other.height, other.distortion_model) == (64, 48, 'plumb_bob')
        for name in ('k', 'd', 'r', 'p'):
            assert getattr(other, name).tolist() == getattr(one, name).tolist(), name


def test_a_calibration_of_a_binned_part_of_a_sensor_comes_back_as_that_of_the_pictures(tmp_path: Path) -> None:
    def change(info: Any) -> None:
        info.width, info.height, info.binning_x, info.binning_y = 400, 300, 2, 2
        info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 60, 128, 96

    bag_to_dataset(distorted(tmp_path / 'drive.mcap', 1, change), TOPIC, tmp_path / 'set')
    dataset_to_bag(tmp_path / 'set', tmp_path / 'back.mcap')
    (info,) = infos_of(tmp_path / 'back.mcap')
    assert (info.width, info.height, info.binning_x, info.roi.width) == (64, 48, 0, 0)
    assert info.k.tolist() == [25, 0, (32 - 100) / 2, 0, 25.5, (24 - 60) / 2, 0, 0, 1]
    assert info.p.tolist() == [22.5, 0, (30 - 100) / 2, -4.5, 0, 23, (20 - 60) / 2, 0, 0, 0, 1, 0]
    assert info.d.tolist() == [0.1, -0.2, 0.01, 0.02, 0.3]
    whole = json.loads((tmp_path / 'set/camera_info.json').read_text())
    assert (whole['width'], whole['height'], whole['k']) == (64, 48, info.k.tolist())


def test_a_calibration_that_is_given_holds_for_all_pictures_of_a_data_set(tmp_path: Path) -> None:
    bag_to_dataset(write_labelled_bag(tmp_path / 'drive.mcap', 2), TOPIC, tmp_path / 'set')
    given = tmp_path / 'mine.json'
    given.write_text(
        '{"width": 64, "height": 48, "k": [60, 0, 31, 0, 61, 23, 0, 0, 1], "d": [0.5, 0.25, 0, 0],'
        ' "distortion_model": "equidistant"}'
    )
    dataset_to_bag(tmp_path / 'set', tmp_path / 'back.mcap', calibration=given)
    for info in infos_of(tmp_path / 'back.mcap'):
        assert (info.k[0], info.k[4], info.distortion_model) == (60, 61, 'equidistant')
        assert info.d.tolist() == [0.5, 0.25, 0, 0]


def test_files_without_distortion_take_it_from_the_calibration_of_the_same_camera(tmp_path: Path) -> None:
    bag_to_dataset(write_labelled_bag(tmp_path / 'drive.mcap', 2), TOPIC, tmp_path / 'set')
    cameras = sorted((tmp_path / 'set').rglob('*_camera.json'))
    for number, file in enumerate(cameras):
        old = {key: value for key, value in json.loads(file.read_text()).items() if key not in ('d', 'r', 'p')}
        file.write_text(json.dumps({**old, 'fx': old['fx'] + 10 * number}))
    standard = json.loads((tmp_path / 'set/camera_info.json').read_text())
    (tmp_path / 'set/camera_info.json').write_text(json.dumps({**standard, 'd': [0.5]}))
    dataset_to_bag(tmp_path / 'set', tmp_path / 'back.mcap')
    # The second picture was taken by another lens.
    assert [(info.k[0], info.d.tolist()) for info in infos_of(tmp_path / 'back.mcap')] == [(50, [0.5]), (60, [0] * 5)]


def test_a_picture_of_another_size_gets_no_calibration_of_the_others(tmp_path: Path) -> None:
    bag_to_dataset(write_labelled_bag(tmp_path / 'drive.mcap', 2, camera_size=(128, 96)), TOPIC, tmp_path / 'set')
    dataset_to_bag(tmp_path / 'set', tmp_path / 'back.mcap')
    with BagReader(tmp_path / 'back.mcap') as reader:
        assert topics.CAMERA_INFO not in reader.topics()


def test_a_calibration_of_no_use_is_left_out_and_counted(tmp_path: Path) -> None:
    def change(info: Any) -> None:
        info.d = np.array([np.nan])

    report = bag_to_dataset(distorted(tmp_path / 'drive.mcap', 2, change), TOPIC, tmp_path / 'set')
    assert (report.pictures, report.skipped) == (2, 2)
    assert 'camera_info cannot be used' in report.first_problem


def test_pictures_that_do_not_decode_are_left_out_and_counted(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive.mcap', drive(4), 'jpeg')
    shots = drive(4)
    with BagReader(bag) as reader:
        messages = [entry.message for entry in reader.messages()]
    messages[1].data = messages[1].data[:100]
    write_bag(tmp_path / 'bad.mcap', list(zip([at for at, _ in shots], messages, strict=True)))
    report = bag_to_dataset(tmp_path / 'bad.mcap', TOPIC, tmp_path / 'set')
    assert (report.pictures, report.skipped) == (3, 1)
    assert 'cut short' in report.first_problem


@pytest.mark.parametrize(
    ('topic', 'reason'),
    [
        ('/nothing', f"no pictures on '/nothing'; it has them on: .*{TOPIC}"),
        ('/camera/camera_info', 'no pictures on'),
    ],
)
def test_no_pictures_is_said_and_nothing_is_left(tmp_path: Path, topic: str, reason: str) -> None:
    bag = write_labelled_bag(tmp_path / 'drive.mcap', 2)
    with pytest.raises(BagError, match=reason):
        bag_to_dataset(bag, topic, tmp_path / 'set')
    assert [path.name for path in tmp_path.iterdir()] == ['drive.mcap']


def test_a_folder_that_exists_is_not_written_to(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive.mcap', 2)
    (tmp_path / 'set').mkdir()
    with pytest.raises(BagError, match='exists already'):
        bag_to_dataset(bag, TOPIC, tmp_path / 'set')


def test_rendered_streets_become_a_drive_with_ground_truth(tmp_path: Path) -> None:
    draw_streets(tmp_path / 'streets', 'drive', 'day', 3)
    assert dataset_to_bag(tmp_path / 'streets', tmp_path / 'drive.mcap', rate_hz=20) == 3
    with BagReader(tmp_path / 'drive.mcap') as reader:
        entries = list(reader.messages())
        counts = {entry.name: entry.message_count for entry in reader.topics().values()}
    assert counts == {
        topics.CAMERA_INFO: 3,
        topics.IMAGE: 3,
        topics.ABOUT: 1,
        topics.DEPTH: 3,
        topics.INSTANCES: 3,
        topics.LABEL_INFO: 1,
    }
    infos = [entry for entry in entries if entry.topic == topics.CAMERA_INFO]
    assert infos[0].message.k[0] == FX_PX
    assert stamp_ns(infos[1].message) == OUR_START_NS + 50_000_000 == infos[1].recorded_ns + CALIBRATION_LEAD_NS
    files = sorted((tmp_path / 'streets/leftImg8bit/drive/day').iterdir())
    pictures = [entry.message.data.tobytes() for entry in entries if entry.topic == topics.IMAGE]
    assert pictures == [file.read_bytes() for file in files]


def test_cityscapes_itself_becomes_a_bag(tmp_path: Path) -> None:
    draw_cityscapes(tmp_path / 'cs', 'val', 'aachen', 2)
    draw_cityscapes(tmp_path / 'cs', 'val', 'bonn', 1)
    with pytest.raises(BagError, match=r'several parts \(val/aachen, val/bonn\); choose one with --part'):
        dataset_to_bag(tmp_path / 'cs', tmp_path / 'drive.mcap')
    with pytest.raises(BagError, match='has no val/celle'):
        dataset_to_bag(tmp_path / 'cs', tmp_path / 'drive.mcap', part='val/celle')
    assert dataset_to_bag(tmp_path / 'cs', tmp_path / 'drive.mcap', part='val/aachen') == 2
    with BagReader(tmp_path / 'drive.mcap') as reader:
        label = decode_compressed(next(reader.messages([topics.INSTANCES])).message)
        names = next(reader.messages([topics.LABEL_INFO])).message.class_map
    assert label[15, 5] == 26000
    assert len(names) == 19


def test_a_plain_folder_is_sorted_by_its_numbers_and_takes_a_calibration(tmp_path: Path) -> None:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for number in (10, 2, 1):
        cv2.imwrite(str(folder / f'shot{number}.png'), np.full((4, 6, 3), number, np.uint8))
    (folder / 'readme.txt').write_text('mine')
    (folder / 'camera_info.json').write_text('{"width": 6, "height": 4, "k": [5, 0, 3, 0, 5, 2, 0, 0, 1]}')
    assert dataset_to_bag(folder, tmp_path / 'drive.db3') == 3
    shots = pictures_of(tmp_path / 'drive.db3')
    assert [int(rgb[0, 0, 0]) for _, rgb in shots] == [1, 2, 10]
    assert [stamp - OUR_START_NS for stamp, _ in shots] == [0, 100_000_000, 200_000_000]
    with BagReader(tmp_path / 'drive.db3') as reader:
        info = next(reader.messages([topics.CAMERA_INFO])).message
    assert info.p.tolist() == [5, 0, 3, 0, 0, 5, 2, 0, 0, 0, 1, 0]
    assert check_bag(tmp_path / 'drive.db3').findings == ()


@pytest.mark.parametrize(
    ('name', 'content', 'reason'),
    [
        ('a.txt', 'text', 'has no picture'),
        ('a.png', 'text', r'a\.png cannot be used: compressed image'),
        ('camera_info.json', '{"width": 6}', r'camera_info\.json cannot be used: height'),
        ('camera_info.json', '{', r'camera_info\.json cannot be read as JSON'),
    ],
)
def test_a_folder_of_no_use_is_named(tmp_path: Path, name: str, content: str, reason: str) -> None:
    folder = tmp_path / 'pictures'
    folder.mkdir()
    if name.endswith('json'):
        cv2.imwrite(str(folder / 'shot.png'), np.zeros((4, 6, 3), np.uint8))
    (folder / name).write_text(content)
    with pytest.raises(BagError, match=reason):
        dataset_to_bag(folder, tmp_path / 'drive.mcap')
    assert not (tmp_path / 'drive.mcap').exists()
    with pytest.raises(BagError, match='is not a folder'):
        dataset_to_bag(folder / name, tmp_path / 'drive.mcap')


def write_video(path: Path, frames: int, hz: float) -> Path:
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), hz, (64, 48))
    for _, rgb in drive(frames):
        video.write(np.ascontiguousarray(rgb[..., ::-1]))
    video.release()
    return path


@pytest.mark.parametrize(('rate_hz', 'step_ns'), [(None, 40_000_000), (10.0, 100_000_000)])
def test_frames_of_a_video_keep_their_distance(tmp_path: Path, rate_hz: float | None, step_ns: int) -> None:
    video = write_video(tmp_path / 'drive.avi', 7, 25)
    assert video_to_bag(video, tmp_path / 'drive.mcap', '/cam/image/compressed', rate_hz) == 7
    shots = pictures_of(tmp_path / 'drive.mcap', '/cam/image/compressed')
    assert np.diff([stamp for stamp, _ in shots]).tolist() == [step_ns] * 6
    for (_, rgb), (_, original) in zip(shots, drive(7), strict=True):
        assert np.abs(rgb.astype(int) - original).mean() < 20, 'neither another frame nor other colours'


@pytest.mark.parametrize(('name', 'reason'), [('nothing.mp4', 'no such file'), ('text.mp4', 'no frame')])
def test_what_is_no_video_is_named(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / 'text.mp4').write_text('text')
    with pytest.raises(BagError, match=reason):
        video_to_bag(tmp_path / name, tmp_path / 'drive.mcap', '/image')
    assert not (tmp_path / 'drive.mcap').exists()


def mosaic_of(rgb: np.ndarray) -> np.ndarray:
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    mosaic[0::2, 0::2], mosaic[0::2, 1::2] = rgb[0::2, 0::2, 0], rgb[0::2, 1::2, 1]
    mosaic[1::2, 0::2], mosaic[1::2, 1::2] = rgb[1::2, 0::2, 1], rgb[1::2, 1::2, 2]
    return mosaic


@pytest.mark.parametrize(
    ('message', 'nearly'),
    [
        (compressed_image(1, 'camera', encode_png(mosaic_of(view(0))), 'bayer_rggb8; png compressed '), 60),
        (compressed_image(1, 'camera', encode_png(view(0)[..., ::-1]), 'rgb8; png compressed rgb8'), 0),
        (compressed_image(1, 'camera', encode_png(view(0)), 'rgb8; png compressed bgr8'), 0),
        (image(1, 'camera', view(0)[..., 0].astype(np.uint16) << 4, 'mono16'), None),
    ],
)
def test_files_show_what_the_robot_sees(tmp_path: Path, message: Any, nearly: int | None) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        writer.write('/camera/image', START_NS, message)
    bag_to_dataset(tmp_path / 'drive.mcap', '/camera/image', tmp_path / 'set')
    (file,) = (tmp_path / 'set' / 'leftImg8bit').rglob('*.png')
    written = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if nearly is None:
        np.testing.assert_array_equal(written, np.stack([view(0)[..., 0]] * 3, -1))
    else:
        assert np.median(np.abs(written[..., ::-1].astype(int) - view(0))) <= nearly


OST = """image_width: 64
image_height: 48
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [50.0, 0.0, 32.0, 0.0, 51.0, 24.0, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.3, 0.1, 0.0, 0.0, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
projection_matrix:
  rows: 3
  cols: 4
  data: [44.0, 0.0, 32.0, 0.0, 0.0, 45.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0]
"""


def test_the_yaml_of_camera_calibration_is_read(tmp_path: Path) -> None:
    (tmp_path / 'ost.yaml').write_text(OST, encoding='utf-8')
    (tmp_path / 'pictures').mkdir()
    cv2.imwrite(str(tmp_path / 'pictures' / '1.png'), view(0))
    dataset_to_bag(tmp_path / 'pictures', tmp_path / 'drive.mcap', calibration=tmp_path / 'ost.yaml')
    (info,) = infos_of(tmp_path / 'drive.mcap')
    assert (info.width, info.height, info.k[0], info.p[0], info.p[5]) == (64, 48, 50.0, 44.0, 45.0)
    assert list(info.d) == [-0.3, 0.1, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('image_width: 64', "no calibration as camera_calibration writes it .*'camera_matrix' is missing"),
        ('- 1\n- 2\n', 'no calibration as camera_calibration writes it'),
        ('{', 'cannot be read as YAML'),
        (OST.replace('image_width: 64', 'image_width: 0'), 'width: Input should be greater than 0'),
        (OST.replace('[44.0, ', '[.nan, '), 'finite'),
        (OST.replace('  data: [50.0, ', '  data: ['), 'k: Tuple should have at least 9 items'),
    ],
)
def test_a_yaml_that_is_no_calibration_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / 'ost.yaml').write_text(text, encoding='utf-8')
    (tmp_path / 'pictures').mkdir()
    cv2.imwrite(str(tmp_path / 'pictures' / '1.png'), view(0))
    with pytest.raises(BagError, match=reason):
        dataset_to_bag(tmp_path / 'pictures', tmp_path / 'drive.mcap', calibration=tmp_path / 'ost.yaml')


def test_a_pointer_of_git_lfs_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / '1.jpg').write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\n', encoding='utf-8')
    with pytest.raises(BagError, match='git lfs pull'):
        dataset_to_bag(tmp_path, tmp_path / 'drive.mcap')
