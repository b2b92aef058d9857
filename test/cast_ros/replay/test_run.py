# SPDX-License-Identifier: Apache-2.0
"""A replay answers every picture, says the same every time, and keeps what it could read of a damaged bag."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from drawn_replay import HEIGHT, WIDTH, write_street_bag

from cast_ros.bags import BagError, BagReader
from cast_ros.images import decode_compressed, decode_image
from cast_ros.replay.errors import ReplayError
from cast_ros.replay.evaluation import evaluate_bag
from cast_ros.replay.run import FRAMES, RESULTS, ReplaySettings, replay

SETTINGS = ReplaySettings(threads=1)


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
    assert scores['semantic']['miou'] > 0.95
    assert scores['timing_ms']['p50'] > 0


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


def test_pictures_that_cannot_be_decoded_are_told_and_count_nowhere(tmp_path: Path, student: Path) -> None:
    bag = write_street_bag(tmp_path / 'bag', 8, broken=(2, 5))
    document = replay(bag, [student], tmp_path / 'out', SETTINGS).document
    lines = lines_of(tmp_path / 'out' / FRAMES)
    assert [line['index'] for line in lines if 'problem' in line] == [2, 5]
    assert document['bag']['undecodable'] == 2
    assert document['students'][0]['instances']['frames'] == 6


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
    settings = ReplaySettings(threads=1, results_bag=False, tracking=True)
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
                for topic in ('overlay/compressed', 'detections', 'depth/image_raw')
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
    found = replay(street_bag, [student, copy, again], tmp_path / 'out', ReplaySettings(threads=1, results_bag=False))
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
        replay(street_bag, [student], out, ReplaySettings(threads=1, results_bag=False))
    assert not (out / FRAMES).exists()
