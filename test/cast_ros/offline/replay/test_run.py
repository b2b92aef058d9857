# SPDX-License-Identifier: Apache-2.0
"""A replay answers every picture, says the same every time, and keeps what it could read of a damaged bag."""

from __future__ import annotations

import hashlib
import html
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from drawn_replay import HEIGHT, START_NS, STEP_NS, TOPIC, WIDTH, write_street_bag
from tiny_student import FOCAL_REFERENCE_PX, tiny_student

from cast_ros.errors import BagError, ReplayError
from cast_ros.images import decode_compressed, decode_image, encode_png
from cast_ros.offline.bags import BagReader, BagWriter
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.message_types import typestore
from cast_ros.offline.bags.messages import compressed_image
from cast_ros.offline.replay.evaluation import evaluate_bag
from cast_ros.offline.replay.report import headline_rows
from cast_ros.offline.replay.run import FRAMES, RESULTS, ReplaySettings, replay
from cast_ros.student import LoadOptions

SETTINGS = ReplaySettings(load=LoadOptions(threads=1))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_replays_write_the_same_frames_byte_for_byte_from_either_storage(tmp_path: Path, student: Path) -> None:
    digests = set()
    for storage in ('mcap', 'sqlite3'):
        bag = write_street_bag(tmp_path / storage, 12, storage=storage)
        for turn in range(2):
            out = tmp_path / f'{storage}{turn}'
            replay(bag, [student], out, SETTINGS)
            digests.add(hashlib.sha256((out / FRAMES).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_every_picture_has_a_line_with_what_the_student_made_of_it(
    tmp_path: Path, street_bag: Path, student: Path
) -> None:
    told: list[tuple[int, int]] = []
    found = replay(street_bag, [student], tmp_path, SETTINGS, lambda done, of: told.append((done, of)))
    lines = lines_of(tmp_path / FRAMES)
    assert [line['index'] for line in lines] == list(range(40))
    assert told == [(done, 40) for done in range(1, 41)]
    first = lines[0]['students']['tiny']
    assert (first['instances'], first['found'], first['to_find']) == (2, 2, 2)
    assert first['miou'] > 0.95
    assert first['abs_rel'] < 0.04
    # It gets darker, by one grey value of the road a picture.
    assert lines[0]['luminance'] > lines[39]['luminance'] > 0
    scores = found.document['students'][0]
    assert scores['instances']['ap50'] == pytest.approx(1.0)
    assert scores['instances_cityscapes']['ap50'] == pytest.approx(1.0)
    assert scores['semantic']['miou'] > 0.95
    assert scores['timing_ms']['p50'] > 0


def hesitant_about_persons(model: onnx.ModelProto) -> None:
    """A logit of 0.3 in place of 10, so that a person scores 0.57."""
    (kernel,) = (entry for entry in model.graph.initializer if entry.name == 'purity_kernel')
    values = onnx.numpy_helper.to_array(kernel).copy()
    values[0] *= 10.3 / 20
    kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))


@pytest.mark.parametrize(('threshold', 'found'), [(0.5, 2), (0.6, 1), (1.0, 0)])
def test_what_is_below_the_threshold_is_not_found_but_counts_for_ap(
    tmp_path: Path, threshold: float, found: int
) -> None:
    bag = write_street_bag(tmp_path / 'bag', 2)
    model = tiny_student(tmp_path / 'hesitant.onnx', edit=hesitant_about_persons)
    settings = ReplaySettings(load=LoadOptions(threads=1), results_bag=False, score_threshold=threshold)
    document = replay(bag, [model], tmp_path / 'out', settings).document
    first = lines_of(tmp_path / 'out' / FRAMES)[0]['students']['tiny']
    assert (first['instances'], first['found'], first['to_find']) == (found, found, 2)
    assert first['found_share'] == found / 2
    assert document['students'][0]['instances']['ap50'] == pytest.approx(1.0)
    assert document['settings'] == {
        'topic': None,
        'camera_info_topic': None,
        'score_threshold': threshold,
        'providers': ['CPUExecutionProvider'],
        'threads': 1,
        'results_bag': False,
        'tracking': False,
        'rectified': 'auto',
    }


def test_a_student_that_mistakes_cars_for_persons_is_worse_for_certain(
    tmp_path: Path, street_bag: Path, student: Path, blind: Path
) -> None:
    document = evaluate_bag(street_bag, [student, blind], tmp_path, SETTINGS).document
    for figure in ('instances.ap', 'semantic.miou'):
        interval = document['differences'][figure]
        assert interval['low'] <= interval['difference'] <= interval['high'] < -0.3
    # Depth is the same network's.
    assert document['differences']['depth.abs_rel']['difference'] == 0
    assert [one['name'] for one in document['students']] == ['tiny', 'blind']


def test_depth_that_was_judged_up_to_other_distances_is_not_compared(
    tmp_path: Path, street_bag: Path, student: Path, blind: Path
) -> None:
    spec = {'unit': 'metre', 'cap_m': 40.0, 'focal_reference_px': FOCAL_REFERENCE_PX}
    near = tiny_student(tmp_path / 'near.onnx', name='near', contract={'depth': spec})
    document = evaluate_bag(street_bag, [student, near], tmp_path / 'out', SETTINGS).document
    # Of the same network, and yet another figure: the far pixels are left out.
    far_error, near_error = (one['depth']['rmse'] for one in document['students'])
    assert far_error != pytest.approx(near_error, rel=0.05)
    assert document['depth_caps_m'] == {'tiny': 80.0, 'near': 40.0}
    assert {place.partition('.')[0] for place in document['differences']} == {'instances', 'panoptic', 'semantic'}
    marked = {row['title']: row['not_comparable'] for row in headline_rows(document) if row['not_comparable']}
    assert marked == dict.fromkeys(('AbsRel', 'AbsRel, scaled', 'RMSE (m)'), 'tiny up to 80 m, near up to 40 m')
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'Not comparable: tiny up to 80 m, near up to 40 m.' in page
    alike = evaluate_bag(street_bag, [student, blind], tmp_path / 'alike', SETTINGS).document
    assert alike['depth_caps_m'] is None
    assert 'ot comparable' not in (tmp_path / 'alike' / 'report.html').read_text(encoding='utf-8')


def test_pictures_that_cannot_be_decoded_are_told_and_count_nowhere(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 8, broken=(2, 5))
    document = replay(bag, [student], tmp_path / 'out', SETTINGS).document
    lines = lines_of(tmp_path / 'out' / FRAMES)
    assert [line['index'] for line in lines if 'problem' in line] == [2, 5]
    assert document['bag']['undecodable'] == 2
    assert document['students'][0]['instances']['frames'] == 6


def zero_k(name: str, number: int, data: bytes) -> bytes | None:
    """From the fourth CameraInfo on as a driver without calibration sends it."""
    if name != '/camera/camera_info' or number < 3:
        return data
    kind = 'sensor_msgs/msg/CameraInfo'
    info = typestore().deserialize_cdr(data, kind)
    info.k, info.p = 0 * info.k, 0 * info.p
    return bytes(typestore().serialize_cdr(info, kind))


def no_info(name: str, number: int, data: bytes) -> bytes | None:
    return None if name == '/camera/camera_info' else data


@pytest.mark.parametrize(
    ('change', 'count', 'reason'),
    [
        (zero_k, 5, 'camera_info: K is zero'),
        (no_info, 8, f"no camera_info for frame 'camera' with {WIDTH}x{HEIGHT} pixels"),
    ],
)
def test_pictures_without_a_usable_calibration_are_counted_since_their_depth_is_not_metric(
    tmp_path: Path, student: Path, change: Callable[[str, int, bytes], bytes | None], count: int, reason: str
) -> None:
    bag = rewritten(write_street_bag(tmp_path / 'whole', 8), tmp_path / 'bag', change)
    document = evaluate_bag(bag, [student], tmp_path / 'out', SETTINGS).document
    assert document['bag']['uncalibrated'] == count
    lines = lines_of(tmp_path / 'out' / FRAMES)
    assert [line.get('uncalibrated') for line in lines] == [None] * (8 - count) + [reason] * count
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert f'{count} of 8 pictures have no usable calibration: {reason}.' in html.unescape(page)


def test_where_every_picture_is_calibrated_or_no_student_has_depth_there_is_no_such_warning(
    tmp_path: Path, student: Path
) -> None:
    whole = write_street_bag(tmp_path / 'whole', 2)
    bare = rewritten(whole, tmp_path / 'bare', no_info)
    flat = tiny_student(tmp_path / 'flat.onnx', heads=('semantic',))
    for number, (bag, model) in enumerate(((whole, student), (bare, flat))):
        evaluate_bag(bag, [model], tmp_path / f'{number}', SETTINGS)
        page = (tmp_path / f'{number}' / 'report.html').read_text(encoding='utf-8')
        assert 'no usable calibration' not in page


def test_a_bag_of_broken_pictures_alone_is_an_error_that_says_why(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 3, broken=(0, 1, 2))
    with pytest.raises(ReplayError, match=r'none of the 3 pictures .* data'):
        replay(bag, [student], tmp_path / 'out', SETTINGS)
    assert not (tmp_path / 'out' / FRAMES).exists()


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_what_is_left_of_a_bag_that_was_cut_short_is_judged_and_the_loss_told(
    tmp_path: Path, student: Path, storage: str
) -> None:
    whole = write_street_bag(tmp_path / 'whole', 40, storage=storage)
    (file,) = (path for path in whole.iterdir() if path.suffix in ('.mcap', '.db3'))
    cut = tmp_path / f'cut{file.suffix}'
    cut.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    document = evaluate_bag(cut, [student], tmp_path / 'out', SETTINGS).document
    assert cut.name in document['bag']['incomplete']
    assert 5 < document['bag']['pictures'] < 40
    assert len(lines_of(tmp_path / 'out' / FRAMES)) == document['bag']['pictures']
    assert 'The bag is damaged' in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')


def test_without_ground_truth_the_answers_are_told_all_the_same(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 5, labels=False)
    document = replay(bag, [student], tmp_path / 'out', SETTINGS).document
    scores = document['students'][0]
    assert (scores['instances'], scores['semantic'], scores['depth']) == (None, None, None)
    assert document['bag']['ground_truth'] == []
    assert lines_of(tmp_path / 'out' / FRAMES)[0]['students']['tiny']['instances'] == 2


def test_with_tracking_changes_of_id_are_counted(tmp_path: Path, street_bag: Path, student: Path) -> None:
    pytest.importorskip('trackers', reason="needs the extra 'tracking'")
    settings = ReplaySettings(load=LoadOptions(threads=1), results_bag=False, tracking=True)
    document = replay(street_bag, [student], tmp_path, settings).document
    tracking = document['students'][0]['tracking']
    # A person who stands and a car that drives on; the first picture has no track yet.
    assert tracking == {'switches': 0, 'matches': 78, 'true_count': 80, 'true_tracks': 2, 'frames': 40}


def test_the_results_are_a_bag_with_the_pictures_and_every_answer_beside_them(
    tmp_path: Path, street_bag: Path, student: Path, blind: Path
) -> None:
    replay(street_bag, [student, blind], tmp_path, SETTINGS)
    with BagReader(tmp_path / RESULTS) as reader:
        counts = {name: entry.message_count for name, entry in reader.topics().items()}
        assert counts == {
            '/camera/image_raw': 40,
            **{f'/{name}/label_info': 1 for name in ('tiny', 'blind')},
            **{
                f'/{name}/{topic}': 40
                for name in ('tiny', 'blind')
                for topic in ('overlay/compressed', 'detections', 'depth/image_raw', 'instances', 'semantic')
            },
        }
        assert reader.topics()['/tiny/label_info'].latched
        first = {}
        for entry in reader.messages():
            first.setdefault(entry.topic, entry.message)
        assert decode_compressed(first['/tiny/overlay/compressed']).shape == (HEIGHT, WIDTH, 3)
        assert decode_image(first['/tiny/depth/image_raw']).shape == (HEIGHT, WIDTH)
        names = [entry.results[0].hypothesis.class_id for entry in first['/tiny/detections'].detections]
        assert sorted(names) == ['car', 'person']
        assert first['/tiny/detections'].header.stamp == first['/camera/image_raw'].header.stamp


def test_a_second_replay_into_the_same_folder_replaces_the_first(tmp_path: Path, student: Path) -> None:
    for frames in (6, 4):
        bag = write_street_bag(tmp_path / f'bag{frames}', frames)
        replay(bag, [student], tmp_path / 'out', SETTINGS)
    assert len(lines_of(tmp_path / 'out' / FRAMES)) == 4
    with BagReader(tmp_path / 'out' / RESULTS) as reader:
        assert reader.topics()['/camera/image_raw'].message_count == 4


def test_students_of_one_name_are_told_apart(tmp_path: Path, street_bag: Path, student: Path) -> None:
    copy = tmp_path / 'other.onnx'
    copy.write_bytes(student.read_bytes())
    again = tmp_path / 'deeper' / 'other.onnx'
    again.parent.mkdir()
    again.write_bytes(student.read_bytes())
    found = replay(
        street_bag,
        [student, copy, again],
        tmp_path / 'out',
        ReplaySettings(load=LoadOptions(threads=1), results_bag=False),
    )
    assert [one.name for one in found.contestants] == ['tiny', 'other', 'other 2']
    assert not (tmp_path / 'out' / RESULTS).exists()


def test_a_missing_bag_and_a_wrong_topic_leave_no_half_files(tmp_path: Path, street_bag: Path, student: Path) -> None:
    with pytest.raises(BagError, match='does not exist'):
        replay(tmp_path / 'nowhere.mcap', [student], tmp_path / 'out', SETTINGS)
    with pytest.raises(BagError, match=r"no topic '/left'.*/camera/image_raw \(40\)"):
        replay(street_bag, [student], tmp_path / 'out', ReplaySettings(topic='/left'))
    assert not (tmp_path / 'out').exists()


def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(tmp_path: Path, street_bag: Path, student: Path) -> None:
    if not Path('/dev/full').exists():
        pytest.skip('needs /dev/full')
    out = tmp_path / 'out'
    out.mkdir()
    (out / f'{FRAMES}.tmp').symlink_to('/dev/full')
    with pytest.raises(ReplayError, match='cannot be written'):
        replay(street_bag, [student], out, ReplaySettings(load=LoadOptions(threads=1), results_bag=False))
    assert not (out / FRAMES).exists()


def rewritten(source: Path, target: Path, change: Callable[[str, int, bytes], bytes | None]) -> Path:
    """The bag with its messages changed: by topic, number on the topic, and bytes; None leaves one out."""
    counts: Counter[str] = Counter()
    with BagReader(source) as reader, BagWriter(target) as writer:
        for raw in reader.raw_messages():
            data = change(raw.topic, counts[raw.topic], raw.data)
            counts[raw.topic] += 1
            if data is not None:
                writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, data)
    return target


@pytest.mark.parametrize('topic', ['/camera/camera_info', topics.INSTANCES])
def test_a_damaged_message_beside_the_pictures_is_told_and_costs_no_picture(
    tmp_path: Path, student: Path, topic: str
) -> None:
    bag = rewritten(
        write_street_bag(tmp_path / 'whole', 12),
        tmp_path / 'bag',
        lambda name, number, data: data[: len(data) // 2] if (name, number) == (topic, 3) else data,
    )
    document = replay(bag, [student], tmp_path / 'out', SETTINGS).document
    assert len(lines_of(tmp_path / 'out' / FRAMES)) == 12
    assert document['bag']['incomplete'] == ''
    assert 'is damaged' in document['bag']['faults'][topic]


def test_labels_that_do_not_fit_their_picture_are_told_and_not_counted(tmp_path: Path, student: Path) -> None:
    small = np.zeros((HEIGHT // 2, WIDTH // 2), np.uint16)
    message = compressed_image(START_NS + 2 * STEP_NS, 'camera', encode_png(small), 'png')
    ill_sized = bytes(typestore().serialize_cdr(message, message.__msgtype__))
    bag = rewritten(
        write_street_bag(tmp_path / 'whole', 6),
        tmp_path / 'bag',
        lambda name, number, data: ill_sized if (name, number) == (topics.INSTANCES, 2) else data,
    )
    result = evaluate_bag(bag, [student], tmp_path / 'out', SETTINGS)
    third = lines_of(tmp_path / 'out' / FRAMES)[2]['students']['tiny']
    assert 'size' in third['label_problem']
    assert third['instances'] == 2
    assert result.document['bag']['labelled'] == 5
    assert result.document['students'][0]['instances']['frames'] == 5
    assert 'labels of picture 2' in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')


@pytest.mark.parametrize('frames', [6, 60])
def test_labels_whose_picture_is_not_in_the_bag_are_counted_and_told(
    tmp_path: Path, student: Path, frames: int
) -> None:
    bag = rewritten(
        write_street_bag(tmp_path / 'whole', frames),
        tmp_path / 'bag',
        lambda name, number, data: None if name == TOPIC and number % 3 == 1 else data,
    )
    document = evaluate_bag(bag, [student], tmp_path / 'out', SETTINGS).document
    assert document['bag']['labels_without_picture'] == 2 * frames // 3
    assert document['bag']['labelled'] == document['bag']['pictures'] == 2 * frames // 3
    told = f'the stamps of {2 * frames // 3} messages are those of no picture'
    assert told in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')


def test_a_bag_with_depth_alone_is_judged_by_depth_alone(tmp_path: Path, student: Path) -> None:
    bag = rewritten(
        write_street_bag(tmp_path / 'whole', 3),
        tmp_path / 'bag',
        lambda name, _, data: None if name in (topics.INSTANCES, topics.LABEL_INFO) else data,
    )
    scores = replay(bag, [student], tmp_path / 'out', SETTINGS).document['students'][0]
    assert (scores['instances'], scores['semantic']) == (None, None)
    assert scores['depth']['abs_rel'] < 0.04
    assert scores['depth_scaled']['scaling'] == 'median'


@pytest.mark.parametrize('heads', [('instances',), ('semantic',), ('depth',)])
@pytest.mark.parametrize('frames', [1, 2])
def test_students_of_one_head_and_bags_of_few_pictures_get_their_report(
    tmp_path: Path, heads: tuple[str, ...], frames: int
) -> None:
    bag = write_street_bag(tmp_path / 'bag', frames)
    models = [tiny_student(tmp_path / f'{name}.onnx', heads=heads, name=name) for name in ('one', 'other')]
    document = evaluate_bag(bag, models, tmp_path / 'out', SETTINGS).document
    judged = {name for name in ('instances', 'semantic', 'depth') if document['students'][0][name] is not None}
    assert judged == set(heads)
    assert document['differences'] == {}


def test_drivers_that_leave_stamps_empty_lose_their_labels_and_that_is_told(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 4, stamps=False)
    document = evaluate_bag(bag, [student], tmp_path / 'out', SETTINGS).document
    assert document['bag']['labelled'] == 0
    assert document['bag']['labels_without_picture'] == 8
    assert document['bag']['duration_s'] == pytest.approx(0.3)
    assert '0 pictures were compared' in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')


def test_the_bag_itself_is_never_overwritten_by_its_results(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / RESULTS, 2)
    content = bag.read_bytes()
    for settings in (SETTINGS, ReplaySettings(load=LoadOptions(threads=1), results_bag=False)):
        with pytest.raises(ReplayError, match='its own results'):
            replay(bag, [student], tmp_path, settings)
    assert bag.read_bytes() == content


def test_a_replay_that_fails_leaves_the_files_of_the_one_before(tmp_path: Path, student: Path) -> None:
    out = tmp_path / 'out'
    replay(write_street_bag(tmp_path / 'good', 3), [student], out, SETTINGS)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ReplayError):
        replay(write_street_bag(tmp_path / 'bad', 2, broken=(0, 1)), [student], out, SETTINGS)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_students_whose_names_differ_in_signs_alone_get_topics_of_their_own(tmp_path: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 2)
    models = [tiny_student(tmp_path / f'{number}.onnx', name=name) for number, name in enumerate(('a-b', 'a_b', '3'))]
    found = replay(bag, models, tmp_path / 'out', SETTINGS)
    assert [one.topic for one in found.contestants] == ['a_b', 'a_b_2', 'student_3']


@pytest.mark.parametrize('threshold', [math.nan, 0.0, 1.5])
def test_a_threshold_that_is_none_is_refused_before_anything_is_done(
    tmp_path: Path, street_bag: Path, student: Path, threshold: float
) -> None:
    with pytest.raises(ReplayError, match='score threshold'):
        replay(street_bag, [student], tmp_path / 'out', ReplaySettings(score_threshold=threshold))
