# SPDX-License-Identifier: Apache-2.0
"""Bags of every kind, become folders of frames."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_bags import (
    FX_PX,
    HEIGHT,
    START_NS,
    STEP_NS,
    TOPIC,
    WIDTH,
    codes_and_depth,
    drive,
    picture_message,
    promise_more,
    view,
    write_bag,
    write_labelled_bag,
)
from killed_runs import run_with_kills
from rich.console import Console

from cast_ros.errors import BagError
from cast_ros.images import encode_png
from cast_ros.offline.bags import BagReader, BagWriter
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.messages import camera_info, compressed_image, image, label_info, text
from cast_train.data import CLASS_MAPS, open_dataset
from cast_train.data.bag_import import ImportReport, import_bag
from cast_train.data.bag_plan import ImportSettings
from cast_train.data.frame_selection import SelectionRules
from cast_train.data.streets import dataset as streets
from cast_train.data.time_blocks import BlockRules
from cast_train.errors import DataError

WHOLE = BlockRules(val=0, guard_s=0)


def imported(bag: Path, out: Path, **settings: Any) -> ImportReport:
    return import_bag(bag, out, ImportSettings(**{'topic': TOPIC, **settings}), Console(file=io.StringIO()))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def names(report: ImportReport) -> list[int]:
    """Numbers of the kept frames of a drive."""
    return [(frame.stamp_ns - START_NS) // STEP_NS for frame in report.manifest.frames]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'png'])
def test_pictures_come_out_as_they_went_in(tmp_path: Path, storage: str, encoding: str) -> None:
    bag = write_bag(tmp_path / 'drive', drive(6), encoding, storage)
    report = imported(bag, tmp_path / 'out', blocks=WHOLE)
    assert report.manifest.counts['train'] == 6
    pictures = open_dataset('frames', tmp_path / 'out', 'train')
    assert list(pictures.names) == [f'drive_{stamp}' for stamp, _ in drive(6)]
    for index in range(6):
        assert (pictures[index].image == view(index)).all()
        assert pictures[index].semantic is None
        assert pictures[index].instance_ids is None
        assert pictures[index].depth_m is None
        assert pictures[index].fx_px is None


def test_a_bag_that_holds_less_than_it_promises_is_told_with_its_numbers(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive', drive(6))
    promise_more(bag, TOPIC, 3)
    report = imported(bag, tmp_path / 'out', blocks=WHOLE)
    assert report.manifest.counts['train'] == 6
    told = f"drive: messages on '{TOPIC}': metadata.yaml says 9, the index of the storage 6, reading gave 6"
    assert any(note.startswith(told) for note in report.manifest.notes)
    assert told in report.summary()


@pytest.mark.parametrize('encoding', ['mono8', 'mono16', 'jpeg'])
def test_other_encodings_become_colour_pictures(tmp_path: Path, encoding: str) -> None:
    imported(write_bag(tmp_path / 'drive.mcap', drive(3), encoding), tmp_path / 'out', blocks=WHOLE)
    image = open_dataset('frames', tmp_path / 'out', 'train')[1].image
    grey = cv2.cvtColor(view(1), cv2.COLOR_RGB2GRAY)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(int) - grey).mean() < 4


def test_encodings_may_change_on_the_way(tmp_path: Path) -> None:
    shots = [
        (stamp, picture_message(stamp, rgb, encoding))
        for (stamp, rgb), encoding in zip(drive(3), ('rgb8', 'bgr8', 'rgb8'), strict=True)
    ]
    imported(write_bag(tmp_path / 'drive.db3', shots), tmp_path / 'out', blocks=WHOLE)
    pictures = open_dataset('frames', tmp_path / 'out', 'train')
    assert all((pictures[index].image == view(index)).all() for index in range(3))


def test_what_is_no_use_is_dropped_and_counted_by_reason(tmp_path: Path) -> None:
    shots: list[tuple[int, Any]] = list(drive(12))
    shots[2] = (shots[2][0], np.asarray(cv2.GaussianBlur(view(2), (0, 0), 2)))
    shots[4] = (shots[4][0], view(3))
    shots[5] = (shots[5][0], np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    shots[6] = (shots[6][0], np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    shots[8] = (START_NS, view(8))
    short = image(shots[9][0], 'camera', view(9), 'rgb8')
    short.data = short.data[:100]
    shots[9] = (shots[9][0], short)
    shots[10] = (shots[10][0], image(shots[10][0], 'camera', np.zeros((4, 4), np.float32), '32FC1'))
    report = imported(write_bag(tmp_path / 'drive', shots, 'rgb8'), tmp_path / 'out', blocks=WHOLE)
    assert names(report) == [0, 1, 3, 7, 11]
    assert report.manifest.counts == {
        'messages': 12,
        'train': 5,
        'val': 0,
        'unreadable': 2,
        'stamp_not_later': 1,
        'over_exposed': 1,
        'under_exposed': 1,
        'blurred': 1,
        'near_duplicate': 1,
        'rate': 0,
        'limit': 0,
        'guard_gap': 0,
    }
    assert '2 unreadable, 1 stamp_not_later' in report.summary()
    assert 'first unreadable picture: image data has 100 bytes' in report.summary()


def test_a_damaged_message_does_not_stop_the_import(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        for index, (stamp, rgb) in enumerate(drive(4)):
            if index == 1:
                writer.write_raw(TOPIC, 'sensor_msgs/msg/Image', stamp, b'\x00\x01\x00\x00\x01')
            else:
                writer.write(TOPIC, stamp, picture_message(stamp, rgb, 'rgb8'))
    report = imported(tmp_path / 'drive.mcap', tmp_path / 'out', blocks=WHOLE)
    assert names(report) == [0, 2, 3]
    pictures = open_dataset('frames', tmp_path / 'out', 'train')
    assert (pictures[1].image == view(2)).all(), 'messages are counted with the damaged ones'


def test_an_empty_stamp_becomes_the_time_of_recording(tmp_path: Path) -> None:
    shots = [(0, rgb) for _, rgb in drive(4)]
    assert names(imported(write_bag(tmp_path / 'drive', shots), tmp_path / 'out', blocks=WHOLE)) == [0, 1, 2, 3]


def test_rate_and_limit_thin_the_frames_out(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive', drive(20))
    rules = SelectionRules(rate_hz=5, limit=4)
    report = imported(bag, tmp_path / 'out', blocks=WHOLE, selection=rules)
    assert report.manifest.counts['rate'] == 10
    assert report.manifest.counts['limit'] == 6
    assert len(report.manifest.frames) == 4


def test_train_and_val_share_no_scene_and_keep_their_distance(tmp_path: Path) -> None:
    report = imported(write_bag(tmp_path / 'drive', drive(60)), tmp_path / 'out')
    train, val = (open_dataset('frames', tmp_path / 'out', split) for split in ('train', 'val'))
    assert set(train.scenes) & set(val.scenes) == set()
    assert (len(set(train.scenes)), len(set(val.scenes))) == (4, 1)
    stamps = {split: [f.stamp_ns for f in report.manifest.frames if f.split == split] for split in ('train', 'val')}
    nearest = min(abs(one - other) for one in stamps['train'] for other in stamps['val'])
    assert nearest >= 0.2 * 59 * STEP_NS / 5
    assert report.manifest.counts['guard_gap'] == 60 - len(train) - len(val) > 0


def test_a_long_stop_at_a_border_does_not_bring_one_view_into_both_splits(tmp_path: Path) -> None:
    places = [*range(30), *[30] * 300, *range(30, 60)]
    shots = [(START_NS + index * STEP_NS, view(place)) for index, place in enumerate(places)]
    report = imported(write_bag(tmp_path / 'drive', shots), tmp_path / 'out')
    seen = {
        split: {places[frame.message] for frame in report.manifest.frames if frame.split == split}
        for split in ('train', 'val')
    }
    assert seen['val']
    assert min(abs(one - other) for one in seen['train'] for other in seen['val']) >= 2
    assert report.manifest.counts['near_duplicate'] == 300


def test_one_scene_is_for_training_and_the_summary_says_so(tmp_path: Path) -> None:
    report = imported(write_bag(tmp_path / 'drive', drive(3)), tmp_path / 'out')
    assert (report.manifest.counts['train'], report.manifest.counts['val']) == (3, 0)
    assert 'nothing validates' in report.summary()


def test_ground_truth_and_calibration_come_along(tmp_path: Path) -> None:
    report = imported(write_labelled_bag(tmp_path / 'drive', 5), tmp_path / 'out', blocks=WHOLE, domain='dusk')
    assert 'with instances 5, depth 5, fx 5; 15 files written' in report.summary()
    pictures = open_dataset('frames', tmp_path / 'out', 'train', 'dusk')
    assert [(entry.name, entry.is_thing) for entry in pictures.classes] == [
        ('road', False),
        ('sky', False),
        ('car', True),
    ]
    sample = pictures[4]
    assert sample.semantic is not None
    assert sample.instance_ids is not None
    assert sample.instance_is_crowd is not None
    assert sample.depth_m is not None
    assert (sample.semantic[35, 5], sample.semantic[15, 15]) == (0, 2)
    car, group = sample.instance_ids[15, 15], sample.instance_ids[15, 45]
    assert [bool(sample.instance_is_crowd[row - 1]) for row in (car, group)] == [False, True]
    assert np.isposinf(sample.depth_m[:10]).all()
    assert np.isnan(sample.depth_m[40:]).all()
    assert (sample.depth_m[10:40] == 5).all()
    assert (sample.fx_px, sample.domain) == (FX_PX, 'dusk')
    assert report.manifest.cameras[0].fy_px == FX_PX + 1


def test_resizing_averages_pictures_picks_labels_and_scales_the_camera(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', 3)
    report = imported(bag, tmp_path / 'out', blocks=WHOLE, max_width=WIDTH // 2)
    sample = open_dataset('frames', tmp_path / 'out', 'train')[0]
    blocks = view(0).reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean((1, 3))
    assert np.abs(sample.image - blocks).max() <= 0.5
    assert sample.fx_px == FX_PX / 2
    camera = report.manifest.cameras[0]
    assert (camera.fy_px, camera.cx_px, camera.cy_px) == ((FX_PX + 1) / 2, WIDTH / 4, HEIGHT / 4)
    codes = cv2.imread(str(next((tmp_path / 'out' / 'instances').iterdir())), cv2.IMREAD_UNCHANGED)
    assert codes.dtype == np.uint16
    assert (codes == codes_and_depth()[0][::2, ::2]).all()
    assert sample.depth_m is not None
    assert np.isposinf(sample.depth_m[:5]).all()


def test_a_size_may_change_the_proportions(tmp_path: Path) -> None:
    imported(write_labelled_bag(tmp_path / 'drive', 3), tmp_path / 'out', blocks=WHOLE, height=96, width=32)
    sample = open_dataset('frames', tmp_path / 'out', 'train')[0]
    assert sample.image.shape == (96, 32, 3)
    assert sample.semantic is not None
    assert sample.semantic.shape == (96, 32)
    assert sample.fx_px == FX_PX / 2


@pytest.mark.parametrize('size', [{'height': 32}, {'width': 32}, {'height': 32, 'width': 32, 'max_width': 16}])
def test_half_a_size_is_refused(tmp_path: Path, size: dict[str, int]) -> None:
    with pytest.raises(DataError, match='--height and --width belong together'):
        imported(write_bag(tmp_path / 'drive', drive(2)), tmp_path / 'out', **size)


def test_jpeg_is_an_option_and_never_for_labels(tmp_path: Path) -> None:
    imported(write_labelled_bag(tmp_path / 'drive', 2), tmp_path / 'out', blocks=WHOLE, jpeg_quality=90)
    files = sorted((path.parent.name, path.suffix) for path in (tmp_path / 'out').glob('*/*'))
    assert sorted(set(files)) == [('depth', '.png'), ('image', '.jpg'), ('instances', '.png')]
    sample = open_dataset('frames', tmp_path / 'out', 'train')[1]
    assert np.abs(sample.image.astype(int) - view(1)).mean() < 20


def test_a_calibration_of_another_size_leaves_fx_unknown_and_says_so(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', 2, camera_size=(2 * WIDTH, 2 * HEIGHT))
    report = imported(bag, tmp_path / 'out', blocks=WHOLE)
    assert 'fx of 2 frames is unknown: what /camera/camera_info says' in report.summary()
    assert open_dataset('frames', tmp_path / 'out', 'train')[0].fx_px is None


@pytest.mark.parametrize(('rectified', 'fx_px', 'is_asked'), [('auto', FX_PX, True), ('true', FX_PX / 2, False)])
def test_a_matrix_that_is_a_guess_is_said_until_a_person_settles_it(
    tmp_path: Path, rectified: str, fx_px: float, is_asked: bool
) -> None:
    topic = '/camera/image'
    with BagWriter(tmp_path / 'drive') as writer:
        for at, rgb in drive(2):
            info = camera_info(at, 'camera', (WIDTH, HEIGHT), (FX_PX, FX_PX), (WIDTH / 2, HEIGHT / 2))
            info.d, info.p = np.array([-0.3, 0.1, 0, 0, 0]), info.p * ([0.5] * 8 + [1] * 4)
            writer.write('/camera/camera_info', at, info)
            writer.write(topic, at, picture_message(at, rgb, 'bgr8'))
    report = imported(
        tmp_path / 'drive', tmp_path / 'out', topic=topic, blocks=WHOLE, labels=False, rectified=rectified
    )
    assert ("set rectified to 'true'" in report.summary()) is is_asked
    assert open_dataset('frames', tmp_path / 'out', 'train')[0].fx_px == fx_px


def test_without_camera_info_the_summary_says_that_fx_is_unknown(tmp_path: Path) -> None:
    report = imported(write_bag(tmp_path / 'drive', drive(2)), tmp_path / 'out', blocks=WHOLE)
    assert 'fx is unknown: nothing on /camera/camera_info' in report.summary()
    with pytest.raises(BagError, match="no camera_info on '/elsewhere'; it has: none"):
        imported(tmp_path / 'drive', tmp_path / 'other', camera_info='/elsewhere')


def test_labels_may_be_left_behind(tmp_path: Path) -> None:
    report = imported(write_labelled_bag(tmp_path / 'drive', 2), tmp_path / 'out', blocks=WHOLE, labels=False)
    assert (report.manifest.labels, report.manifest.classes) == (None, ())
    assert [path.name for path in (tmp_path / 'out').iterdir() if path.is_dir()] == ['image']


def test_classes_of_a_data_set_take_the_labels_by_name(tmp_path: Path) -> None:
    imported(write_labelled_bag(tmp_path / 'drive', 2), tmp_path / 'out', blocks=WHOLE, classes='streets')
    pictures = open_dataset('frames', tmp_path / 'out', 'train')
    assert pictures.classes == streets.CLASSES
    semantic = pictures[0].semantic
    assert semantic is not None
    assert [streets.CLASSES[int(label)].name for label in (semantic[35, 5], semantic[15, 15])] == ['road', 'car']
    imported(write_bag(tmp_path / 'plain', drive(2)), tmp_path / 'unlabelled', blocks=WHOLE, classes='streets')
    assert open_dataset('frames', tmp_path / 'unlabelled', 'train').classes == streets.CLASSES
    with pytest.raises(
        DataError, match=r'--classes coco: must be one of acdc, camvid, .*streets.*, whose classes are fixed'
    ):
        imported(tmp_path / 'plain', tmp_path / 'other', classes='coco')


def test_labels_take_the_classes_of_a_map_and_what_is_none_of_them_is_named(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', 2, names={7: 'wall', 23: 'bus stop', 26: 'truck'})
    camvid11 = CLASS_MAPS['camvid11'].classes
    report = imported(bag, tmp_path / 'out', blocks=WHOLE, classes=camvid11)
    assert 'labels that are no class here, and stay unlabelled: bus stop' in report.summary()
    pictures = open_dataset('frames', tmp_path / 'out', 'train')
    assert pictures.classes == camvid11
    sample = pictures[0]
    assert sample.semantic is not None
    assert sample.instance_labels is not None
    assert [camvid11[int(label)].name for label in (sample.semantic[35, 5], sample.semantic[15, 15])] == [
        'building',
        'car',
    ]
    assert [camvid11[int(label)].name for label in sample.instance_labels] == ['car', 'car']
    with pytest.raises(DataError, match=r'none of the labels \(wall, bus stop, truck\) is a class that was asked for'):
        imported(bag, tmp_path / 'other', blocks=WHOLE, classes=streets.CLASSES[:1])


def damaged_labels(path: Path) -> Path:
    """The second label is cut short, the third is of another size, the fourth has no picture's stamp."""
    codes = codes_and_depth()[0]
    with BagWriter(path) as writer:
        writer.write(topics.ABOUT, 0, text('{"schema": "1.0", "depth_unit_m": 0.01, "thing_names": ["car"]}'))
        writer.write(topics.LABEL_INFO, 0, label_info(0, 'camera', {7: 'road', 26: 'car'}))
        for index, (at, rgb) in enumerate(drive(4)):
            payload = encode_png(codes[:8] if index == 2 else codes)
            payload = payload[:40] if index == 1 else payload
            stamp = at + 5 if index == 3 else at
            writer.write(TOPIC, at, picture_message(at, rgb, 'rgb8'))
            writer.write(topics.INSTANCES, at, compressed_image(stamp, 'camera', payload, 'png'))
    return path


def test_labels_that_cannot_be_used_are_left_out_and_told_of(tmp_path: Path) -> None:
    report = imported(damaged_labels(tmp_path / 'drive.mcap'), tmp_path / 'out', blocks=WHOLE)
    assert [frame.instances for frame in report.manifest.frames] == [True, False, False, False]
    assert '2 labels of /ground_truth/instances cannot be used; the first: ' in report.summary()
    pictures = open_dataset('frames', tmp_path / 'out', 'train')
    assert [pictures[index].semantic is None for index in range(4)] == [False, True, True, True]
    before = tree(tmp_path / 'out')
    assert imported(tmp_path / 'drive.mcap', tmp_path / 'out', blocks=WHOLE).written == 0
    assert tree(tmp_path / 'out') == before


def test_ground_truth_that_nobody_explains_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        writer.write(TOPIC, START_NS, picture_message(START_NS, view(0), 'rgb8'))
        payload = encode_png(codes_and_depth()[0])
        writer.write(topics.INSTANCES, START_NS, compressed_image(START_NS, 'camera', payload, 'png'))
    with pytest.raises(DataError, match=r'no message on /ground_truth/about .*--no-labels'):
        imported(tmp_path / 'drive.mcap', tmp_path / 'out')
    assert len(imported(tmp_path / 'drive.mcap', tmp_path / 'out', labels=False).manifest.frames) == 1


def test_label_info_with_one_name_twice_is_an_error(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        writer.write(TOPIC, START_NS, picture_message(START_NS, view(0), 'rgb8'))
        writer.write(topics.ABOUT, 0, text('{"schema": "1.0", "depth_unit_m": 0.01, "thing_names": []}'))
        writer.write(topics.LABEL_INFO, 0, label_info(0, 'camera', {7: 'road', 8: 'road'}))
        payload = encode_png(codes_and_depth()[0])
        writer.write(topics.INSTANCES, START_NS, compressed_image(START_NS, 'camera', payload, 'png'))
    with pytest.raises(DataError, match='names a class twice: road, road; --no-labels'):
        imported(tmp_path / 'drive.mcap', tmp_path / 'out')


def test_a_wrong_topic_lists_those_with_pictures(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        writer.write('/left', 1, picture_message(1, view(0), 'rgb8'))
        writer.write('/right/compressed', 2, picture_message(2, view(1), 'jpeg'))
        writer.write('/note', 3, text('hello'))
        writer.add_topic('/empty', 'sensor_msgs/msg/Image')
    for topic, said in (
        ('/lef', "has no topic '/lef'; topics with pictures: "),
        ('/note', "'/note' is std_msgs/msg/String, not pictures; topics with pictures: "),
        ('/empty', "'/empty' has no message; topics with pictures: "),
    ):
        with pytest.raises(BagError, match=rf'{said}/left \(1\), /right/compressed \(1\)$'):
            imported(tmp_path / 'drive.mcap', tmp_path / 'out', topic=topic)


def test_a_bag_of_which_nothing_is_left_says_why(tmp_path: Path) -> None:
    dark = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    bag = write_bag(tmp_path / 'drive', [(START_NS + index, dark) for index in range(3)])
    with pytest.raises(DataError, match='no picture of /camera/image_raw is left: 3 under_exposed'):
        imported(bag, tmp_path / 'out')
    numbers = image(START_NS, 'camera', np.zeros((4, 4), np.float32), '32FC1')
    bag = write_bag(tmp_path / 'depth', [(START_NS, numbers)])
    with pytest.raises(
        DataError, match=r"1 unreadable, first unreadable picture: image encoding '32FC1' holds numbers"
    ):
        imported(bag, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('suffix', ['.mcap', '.db3'])
@pytest.mark.parametrize('share', [0.3, 0.9])
def test_a_bag_that_was_cut_short_is_an_error_and_leaves_nothing(tmp_path: Path, suffix: str, share: float) -> None:
    bag = write_bag(tmp_path / f'drive{suffix}', drive(30))
    content = bag.read_bytes()
    bag.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BagError, match='drive'):
        imported(bag, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_second_run_does_nothing_and_a_moved_bag_is_the_same_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive', drive(8))
    assert imported(bag, tmp_path / 'out').written > 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*')}
    (tmp_path / 'elsewhere').mkdir()
    bag.rename(tmp_path / 'elsewhere' / 'drive')
    assert imported(tmp_path / 'elsewhere' / 'drive', tmp_path / 'out').written == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*')} == before


def test_other_settings_another_bag_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'drive', drive(8))
    imported(bag, tmp_path / 'out')
    before = tree(tmp_path / 'out')
    with pytest.raises(DataError, match='was imported with max_width None, asked for 32'):
        imported(bag, tmp_path / 'out', max_width=32)
    with pytest.raises(DataError, match='holds frames of another bag, drive'):
        imported(write_bag(tmp_path / 'other', drive(9)), tmp_path / 'out')
    assert tree(tmp_path / 'out') == before
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'thesis.txt').write_text('mine')
    with pytest.raises(DataError, match='is there already and is no import'):
        imported(bag, tmp_path / 'full')
    with pytest.raises(DataError, match='is there already and is no import'):
        imported(bag, tmp_path / 'full' / 'thesis.txt')


def test_lost_files_are_written_again(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', 6)
    imported(bag, tmp_path / 'out')
    before = tree(tmp_path / 'out')
    for kind in ('image', 'instances', 'depth'):
        next((tmp_path / 'out' / kind).iterdir()).unlink()
    assert imported(bag, tmp_path / 'out').written == 3
    assert tree(tmp_path / 'out') == before


def test_an_import_goes_on_from_its_plan(tmp_path: Path) -> None:
    bag = damaged_labels(tmp_path / 'drive.mcap')
    imported(bag, tmp_path / 'out', blocks=WHOLE)
    before = tree(tmp_path / 'out')
    pictures = sorted((tmp_path / 'out' / 'image').iterdir())
    for path in (*pictures[2:], tmp_path / 'out' / 'frames.json'):
        path.rename(path.with_name('import.json.tmp')) if path.suffix == '.json' else path.unlink()
    (tmp_path / 'out' / 'image' / f'{pictures[2].name}.tmp').write_bytes(b'half')
    with pytest.raises(DataError, match='is no import'):
        imported(bag, tmp_path / 'out', blocks=WHOLE)
    (tmp_path / 'out' / 'import.json.tmp').rename(tmp_path / 'out' / 'import.json')
    assert imported(bag, tmp_path / 'out', blocks=WHOLE).written == 2
    assert tree(tmp_path / 'out') == before


def test_an_import_that_is_killed_again_and_again_leaves_the_same_folder(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'drive', 80)
    options = ['import-bag', str(bag), '--topic', TOPIC, '--max-width', '48', '--out']
    run_with_kills([*options, str(tmp_path / 'killed')], seed=4, kills=8, longest_s=0.4)
    imported(bag, tmp_path / 'whole', max_width=48)
    assert tree(tmp_path / 'killed') == tree(tmp_path / 'whole')


def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    screen = io.StringIO()
    settings = ImportSettings(topic=TOPIC, blocks=WHOLE)
    bag = write_bag(tmp_path / 'drive', drive(7))
    import_bag(bag, tmp_path / 'out', settings, Console(file=screen, force_terminal=True, width=120))
    shown = screen.getvalue()
    assert 'looking at pictures' in shown
    assert 'writing files' in shown
    assert '7/7' in shown
    assert 'ETA' in shown


def test_a_place_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(DataError, match=r'import\.json: cannot be written'):
        imported(write_bag(tmp_path / 'drive', drive(3)), tmp_path / 'file' / 'out')


def test_the_drive_of_the_demo_becomes_a_data_set(tmp_path: Path, project_root: Path) -> None:
    bag = project_root / 'assets' / 'street_drive.mcap'
    report = imported(bag, tmp_path / 'out', topic=topics.IMAGE, domain='day', classes='streets')
    assert report.manifest.counts['messages'] == 40
    assert report.manifest.counts['train'] + report.manifest.counts['val'] + report.manifest.counts['guard_gap'] == 40
    pictures = open_dataset('frames', tmp_path / 'out', 'val', 'day')
    sample = pictures[0]
    with BagReader(bag) as reader:
        info = next(reader.messages([topics.CAMERA_INFO])).message
    assert sample.fx_px == pytest.approx(info.k[0])
    assert sample.image.shape == (info.height, info.width, 3)
    assert sample.depth_m is not None
    assert sample.semantic is not None
    assert np.isposinf(sample.depth_m[sample.semantic == 7]).all(), 'sky and nothing else is far away'
    assert sample.instance_labels is not None
    assert {streets.CLASSES[label].name for label in sample.instance_labels} <= {'person', 'car', 'truck'}
