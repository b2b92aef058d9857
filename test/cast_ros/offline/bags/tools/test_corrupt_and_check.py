# SPDX-License-Identifier: Apache-2.0
"""Whatever `cast bag corrupt` puts into a bag, `cast bag check` finds, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_bags import START_NS, STEP_NS, TOPIC, drive, picture_message, write_labelled_bag

from cast_ros.errors import BagError
from cast_ros.images.camera_info import Rectified
from cast_ros.offline.bags import BagReader, BagWriter
from cast_ros.offline.bags.messages import camera_info, image
from cast_ros.offline.bags.tools.check import check_bag
from cast_ros.offline.bags.tools.cut import cut_bag
from cast_ros.offline.bags.tools.faults import FAULTS, corrupt_bag
from cast_ros.offline.bags.tools.findings import KINDS

FRAMES = 40
COMPRESSED_TOPIC = f'{TOPIC}/compressed'
SUFFIXES = {'mcap': '.mcap', 'sqlite3': '.db3', 'folder': ''}
RAW_ALONE = {'short-data', 'bad-step', 'zero-width', 'odd-width', 'unknown-encoding'}
COMPRESSED_ALONE = {'truncated-jpeg', 'video-stream'}
FOLDERS_ALONE = {'no-metadata', 'wrong-count', 'other-serialization'}
LABELLED_ALONE = {'orphan-labels'}
# A picture is gone, or has not the stamp of its labels any more.
LEAVES_LABELS = {'damaged-message', 'zero-stamps', 'far-future', 'stamps-back', 'duplicate-stamps', 'gap'}


def write_compressed_bag(path: Path) -> Path:
    with BagWriter(path) as writer:
        for at, rgb in drive(FRAMES):
            info = camera_info(at, 'camera', (rgb.shape[1], rgb.shape[0]), (50.0, 50.0), (32.0, 24.0))
            writer.write('/camera/camera_info', at, info)
            writer.write(COMPRESSED_TOPIC, at, picture_message(at, rgb, 'jpeg'))
    return path


@pytest.fixture(scope='module')
def raw_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled_bag(tmp_path_factory.mktemp('raw') / 'drive.mcap', FRAMES)


@pytest.fixture(scope='module')
def compressed_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_compressed_bag(tmp_path_factory.mktemp('compressed') / 'drive.mcap')


def kinds_of(bag: Path) -> list[str]:
    return [finding.kind for finding in check_bag(bag).findings]


def test_good_bags_have_no_finding(raw_bag: Path, compressed_bag: Path) -> None:
    assert (kinds_of(raw_bag), kinds_of(compressed_bag)) == ([], [])
    assert check_bag(raw_bag).messages == 4 * FRAMES + 2


@pytest.mark.parametrize('storage', SUFFIXES)
@pytest.mark.parametrize('fault', sorted(FAULTS.keys() - COMPRESSED_ALONE))
def test_every_fault_of_raw_pictures_is_found_and_nothing_else(
    raw_bag: Path, tmp_path: Path, fault: str, storage: str
) -> None:
    out = tmp_path / f'spoilt{SUFFIXES[storage]}'
    if fault in FOLDERS_ALONE and storage != 'folder':
        with pytest.raises(BagError, match='give --out the name of a folder'):
            corrupt_bag(raw_bag, out, fault)
        return
    corrupt_bag(raw_bag, out, fault, seed=3)
    labels = ['orphan-labels'] * 2 if fault in LEAVES_LABELS else []
    assert kinds_of(out) == [FAULTS[fault].finding, *labels]
    assert [path.name for path in tmp_path.iterdir()] == [out.name], 'nothing is left beside it'


# The whole bag is smaller than what zstd packs as one block, so that nothing of it survives a cut: see test_salvage.
@pytest.mark.parametrize('fault', sorted(FAULTS.keys() - RAW_ALONE - LABELLED_ALONE - FOLDERS_ALONE - {'truncated'}))
@pytest.mark.parametrize('seed', [0, 1])
def test_every_fault_of_compressed_pictures_is_found_and_nothing_else(
    compressed_bag: Path, tmp_path: Path, fault: str, seed: int
) -> None:
    corrupt_bag(compressed_bag, tmp_path / 'spoilt.mcap', fault, seed=seed)
    assert kinds_of(tmp_path / 'spoilt.mcap') == [FAULTS[fault].finding]


def test_every_kind_of_finding_has_a_fault_that_shows_it() -> None:
    assert {fault.finding for fault in FAULTS.values()} == set(KINDS)


@pytest.mark.parametrize(
    ('fault', 'kind', 'count', 'detail'),
    [
        ('gap', 'gap', 1, '0.500 s without a message, usual are 0.100 s'),
        ('stamps-back', 'stamps-back', 1, '0.025 s before the one before'),
        ('duplicate-stamps', 'duplicate-stamps', 1, 'was there before'),
        ('zero-stamps', 'zero-stamps', 1, 'the stamp is 0'),
        ('far-future', 'stamp-skew', 1, 'the stamp is +315360000 s from the recording'),
        ('camera-info-size', 'camera-info-size', 1, '64×48 pixels, camera_info is for 128×96'),
        ('bad-step', 'bad-step', 1, 'step 96 is too small'),
        ('odd-width', 'impossible-size', 1, 'image width 95 is odd'),
        ('mixed-encodings', 'mixed-encodings', 1, 'rgb8 after bgr8'),
        ('mixed-sizes', 'mixed-sizes', 1, '32×24 after 64×48'),
    ],
)
def test_a_finding_says_how_often_and_where_first(
    raw_bag: Path, tmp_path: Path, fault: str, kind: str, count: int, detail: str
) -> None:
    corrupt_bag(raw_bag, tmp_path / 'spoilt.mcap', fault, seed=5)
    finding, *others = check_bag(tmp_path / 'spoilt.mcap').findings
    assert [entry.kind for entry in others] == (['orphan-labels'] * 2 if fault in LEAVES_LABELS else [])
    assert (finding.kind, finding.topic, finding.count) == (kind, TOPIC, count)
    assert detail in finding.first.detail
    number, second = finding.first.message, finding.first.second
    assert number is not None
    assert second is not None
    lost = 4 if fault == 'gap' else 0
    assert second == pytest.approx((number + lost) * STEP_NS / 1e9)


def test_labels_without_a_picture_are_counted(raw_bag: Path, tmp_path: Path) -> None:
    lost = {START_NS + number * STEP_NS for number in (4, 5, 30)}
    with BagReader(raw_bag) as reader, BagWriter(tmp_path / 'lost.mcap') as writer:
        for raw in reader.raw_messages():
            if raw.topic != TOPIC or raw.recorded_ns not in lost:
                writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, raw.data)
    found = [entry for entry in check_bag(tmp_path / 'lost.mcap').findings if entry.kind == 'orphan-labels']
    assert [(entry.topic, entry.count) for entry in found] == [
        ('/ground_truth/depth', 3),
        ('/ground_truth/instances', 3),
    ]
    assert str(found[0].first) == 'message 4 at 0.400 s: no picture has the stamp 1700000000400000000 ns'
    # Pictures that were not read say nothing of labels.
    assert check_bag(tmp_path / 'lost.mcap', ['/ground_truth/depth']).findings == ()
    with pytest.raises(BagError, match=r'needs ground truth \(/ground_truth/instances or /ground_truth/depth\)'):
        corrupt_bag(write_compressed_bag(tmp_path / 'bare.mcap'), tmp_path / 'spoilt.mcap', 'orphan-labels')


@pytest.mark.parametrize(
    ('encoding', 'width', 'height', 'field'),
    [
        ('uyvy', 5, 4, 'width'),
        ('yuv422_yuy2', 5, 4, 'width'),
        ('nv21', 5, 4, 'width'),
        ('nv21', 4, 5, 'height'),
    ],
)
def test_pictures_that_nobody_can_decode_are_found_and_depth_is_none_of_them(
    tmp_path: Path, encoding: str, width: int, height: int, field: str
) -> None:
    with BagWriter(tmp_path / 'odd.mcap') as writer:
        for at, _ in drive(6):
            writer.write(
                '/camera/camera_info', at, camera_info(at, 'camera', (width, height), (50.0, 50.0), (2.0, 2.0))
            )
            message = image(at, 'camera', np.zeros((height, width), np.uint16), '16UC1')
            writer.write('/camera/depth', at, message)
            message.encoding, message.step, message.data = encoding, 2 * width, np.zeros(4 * width * height, np.uint8)
            writer.write(TOPIC, at, message)
    (finding,) = check_bag(tmp_path / 'odd.mcap').findings
    assert (finding.kind, finding.topic, finding.count) == ('impossible-size', TOPIC, 6)
    assert f'image {field} 5 is odd' in finding.first.detail


def test_the_advice_for_damaged_messages_works(raw_bag: Path, tmp_path: Path) -> None:
    corrupt_bag(raw_bag, tmp_path / 'spoilt.mcap', 'damaged-message')
    advice = check_bag(tmp_path / 'spoilt.mcap').findings[0].advice
    assert '`cast bag cut --drop-damaged`' in advice
    report = cut_bag(tmp_path / 'spoilt.mcap', tmp_path / 'good.mcap', None, None, drop_damaged=True)
    assert (report.messages, report.dropped) == (4 * FRAMES + 1, 1)
    assert set(kinds_of(tmp_path / 'good.mcap')) == {'orphan-labels'}


@pytest.mark.parametrize(
    ('pictures', 'rectified', 'kinds'),
    [
        ('/camera/image', 'auto', ['k-or-p']),
        ('/camera/image', 'true', []),
        ('/camera/image', 'false', []),
        ('/camera/image_raw', 'auto', []),
        ('/camera/image_rect', 'auto', []),
    ],
)
def test_a_matrix_that_name_and_numbers_leave_open_is_found(
    tmp_path: Path, pictures: str, rectified: Rectified, kinds: list[str]
) -> None:
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        for at, rgb in drive(3):
            info = camera_info(at, 'camera', (64, 48), (50.0, 50.0), (32.0, 24.0))
            info.d, info.p = np.array([-0.3, 0.1, 0, 0, 0]), info.p * ([0.8] * 8 + [1] * 4)
            writer.write('/camera/camera_info', at, info)
            writer.write(pictures, at, picture_message(at, rgb, 'bgr8'))
            # Depth is rectified: nobody has to be asked.
            writer.write('/camera/depth', at, image(at, 'camera', np.ones((48, 64), np.uint16), '16UC1'))
    findings = check_bag(tmp_path / 'drive.mcap', rectified=rectified).findings
    assert [(entry.kind, entry.topic, entry.count) for entry in findings] == [(kind, pictures, 1) for kind in kinds]
    assert all('fx is 50 in K and 40 in P' in entry.first.detail for entry in findings)


def test_the_seed_decides_where(raw_bag: Path, tmp_path: Path) -> None:
    places = []
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        corrupt_bag(raw_bag, tmp_path / f'{name}.mcap', 'zero-stamps', seed=seed)
        places.append(check_bag(tmp_path / f'{name}.mcap').findings[0].first.message)
    assert places[0] == places[1] != places[2]


def test_the_good_bag_stays_and_only_one_message_differs(raw_bag: Path, tmp_path: Path) -> None:
    before = raw_bag.read_bytes()
    corrupt_bag(raw_bag, tmp_path / 'spoilt.mcap', 'short-data')
    assert raw_bag.read_bytes() == before
    with BagReader(raw_bag) as good, BagReader(tmp_path / 'spoilt.mcap') as spoilt:
        pairs = list(zip(good.raw_messages(), spoilt.raw_messages(), strict=True))
    assert sum(one != other for one, other in pairs) == 1


def test_a_clock_that_is_wrong_throughout_hides_no_gap(tmp_path: Path) -> None:
    skew_ns = 86_400_000_000_000
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        for at, rgb in drive(20):
            if not START_NS + 8 * STEP_NS < at < START_NS + 13 * STEP_NS:
                writer.write(TOPIC, at + skew_ns, picture_message(at, rgb, 'bgr8'))
                info = camera_info(at, 'camera', (64, 48), (50.0, 50.0), (32.0, 24.0))
                writer.write('/camera/camera_info', at + skew_ns, info)
    found = [(entry.kind, entry.topic, entry.count) for entry in check_bag(tmp_path / 'drive.mcap').findings]
    assert found == [
        ('stamp-skew', '/camera/camera_info', 16),
        ('stamp-skew', TOPIC, 16),
        ('gap', '/camera/camera_info', 1),
        ('gap', TOPIC, 1),
    ]


def test_one_topic_is_checked_with_its_calibration(raw_bag: Path, tmp_path: Path) -> None:
    corrupt_bag(raw_bag, tmp_path / 'spoilt.mcap', 'camera-info-size')
    kinds = [entry.kind for entry in check_bag(tmp_path / 'spoilt.mcap', [TOPIC]).findings]
    assert kinds == ['camera-info-size']
    assert check_bag(tmp_path / 'spoilt.mcap', ['/ground_truth/depth']).messages == FRAMES
    with pytest.raises(BagError, match="no topic '/nothing'"):
        check_bag(raw_bag, ['/nothing'])


@pytest.mark.parametrize(
    ('fault', 'topic', 'reason'),
    [
        ('nonsense', None, "no fault 'nonsense'; there are: truncated, no-metadata"),
        ('truncated-jpeg', None, 'needs a topic of sensor_msgs/msg/CompressedImage'),
        ('gap', '/camera/camera_info', f'it has them on: {TOPIC}'),
    ],
)
def test_a_fault_that_does_not_fit_is_refused(
    raw_bag: Path, tmp_path: Path, fault: str, topic: str | None, reason: str
) -> None:
    with pytest.raises(BagError, match=reason):
        corrupt_bag(raw_bag, tmp_path / 'out' / 'spoilt.mcap', fault, topic)
    assert not (tmp_path / 'out' / 'spoilt.mcap').exists()


def test_a_bag_too_short_for_a_fault_is_refused(tmp_path: Path) -> None:
    bag = write_labelled_bag(tmp_path / 'short.mcap', 7)
    with pytest.raises(BagError, match='has 7 messages; this fault needs 8 at least'):
        corrupt_bag(bag, tmp_path / 'spoilt.mcap', 'gap')


def test_an_existing_file_is_not_overwritten(raw_bag: Path, tmp_path: Path) -> None:
    (tmp_path / 'there.mcap').write_bytes(b'mine')
    with pytest.raises(BagError, match='exists already'):
        corrupt_bag(raw_bag, tmp_path / 'there.mcap', 'gap')
    assert (tmp_path / 'there.mcap').read_bytes() == b'mine'


def test_the_page_lists_every_finding(project_root: Path) -> None:
    page = (project_root / 'docs' / 'bags.md').read_text(encoding='utf-8')
    rows = [line for line in page.splitlines() if line.startswith('| `')]
    assert [row for row in rows if row[3 : row.index('`', 3)] in KINDS] == [
        f'| `{name}` | {kind.means}; {kind.advice} |' for name, kind in KINDS.items()
    ]
