# SPDX-License-Identifier: Apache-2.0
"""`cast bag`, run as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_bags import TOPIC, write_labelled_bag

from cast_ros.offline.bags import BagWriter
from cast_ros.offline.bags.messages import camera_info, image


def cast_bag(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', 'bag', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, 'NO_COLOR': '1'})


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled_bag(tmp_path_factory.mktemp('bag') / 'drive.mcap', 40)


def test_info_tells_people_and_programs(bag: Path) -> None:
    lines = cast_bag('info', bag).stdout.splitlines()
    assert 'storage          mcap, compression zstd (chunk)' in lines
    assert 'recorded         2023-11-14 22:13:20 UTC, 3.900 s, 162 messages' in lines
    assert 'ground truth     /ground_truth/depth, /ground_truth/instances' in lines
    place = lines.index(TOPIC)
    assert lines[place + 1 : place + 4] == [
        '    sensor_msgs/msg/Image, 40 messages, 10.00 Hz',
        '    reliable, volatile, keep last 10',
        "    bgr8 64×48, 9268 bytes, frame 'camera', /camera/camera_info",
    ]
    document = json.loads(cast_bag('info', bag, '--json', '--sha256').stdout)
    assert (document['messages'], document['damages']) == (162, [])
    assert list(document['sha256']) == ['drive.mcap']


def test_check_is_0_for_a_good_bag_and_1_for_one_with_a_fault(bag: Path, tmp_path: Path) -> None:
    good = cast_bag('check', bag)
    assert (good.returncode, good.stdout) == (0, f'{bag}: 162 messages, nothing wrong\n')
    spoilt = tmp_path / 'spoilt.mcap'
    assert cast_bag('corrupt', bag, '--fault', 'gap', '--out', spoilt).returncode == 0
    bad = cast_bag('check', spoilt)
    assert (bad.returncode, bad.stderr) == (1, '')
    assert f'gap: {TOPIC}, 1 times' in bad.stdout.splitlines()
    document = json.loads(cast_bag('check', spoilt, '--json', '--topic', TOPIC).stdout)
    (finding,) = document['findings']
    assert (finding['kind'], finding['topic'], finding['count']) == ('gap', TOPIC, 1)
    assert finding['first']['second'] == pytest.approx((finding['first']['message'] + 4) / 10)


def test_check_says_what_was_salvaged_and_cut_writes_it(bag: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / 'spoilt.mcap'
    spoilt.write_bytes(bag.read_bytes()[: bag.stat().st_size // 3])
    done = cast_bag('check', spoilt)
    assert done.returncode == 1
    salvaged = done.stdout.splitlines()[0]
    assert salvaged.startswith('salvaged: spoilt.mcap: cut short within the record at byte')
    assert cast_bag('cut', spoilt, '--out', tmp_path / 'whole.mcap').stdout.splitlines()[0] == salvaged
    assert cast_bag('check', tmp_path / 'whole.mcap').returncode == 0


@pytest.mark.parametrize('verb', ['info', 'check'])
@pytest.mark.parametrize('name', ['folder', 'empty.mcap', 'empty.db3', 'note.txt', 'note.mcap', 'note.db3', 'nothing'])
def test_what_is_no_bag_is_one_line_and_2(tmp_path: Path, verb: str, name: str) -> None:
    if name == 'folder':
        (tmp_path / name).mkdir()
    elif name != 'nothing':
        (tmp_path / name).write_text('' if name.startswith('empty') else 'a note')
    done = cast_bag(verb, tmp_path / name)
    assert (done.returncode, done.stdout, done.stderr.count('\n')) == (2, '', 1)
    assert str(tmp_path / name) in done.stderr


def test_corrupt_lists_its_faults_and_wants_three_things(bag: Path) -> None:
    lines = cast_bag('corrupt', '--list').stdout.splitlines()
    assert len(lines) == 31
    assert 'gap               four pictures in a row are gone' in lines
    done = cast_bag('corrupt', bag)
    assert (done.returncode, done.stderr) == (2, 'cast: give a bag, --fault and --out; --list prints the faults\n')


def test_cut_takes_seconds_and_topics(bag: Path, tmp_path: Path) -> None:
    done = cast_bag(
        'cut', bag, '--from', '1', '--to', '2', '--topics', f'{TOPIC}, /ground_truth/about', '--out', tmp_path / 'p'
    )
    assert done.stdout == f'{tmp_path / "p"}: 11 messages, 1 of them latched before the cut\n'
    assert (tmp_path / 'p' / 'metadata.yaml').is_file()


def test_cut_leaves_damaged_messages_out_as_check_advises(bag: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / 'spoilt.mcap'
    assert cast_bag('corrupt', bag, '--fault', 'damaged-message', '--out', spoilt).returncode == 0
    assert 'leave them out: `cast bag cut --drop-damaged`' in cast_bag('check', spoilt).stdout
    done = cast_bag('cut', spoilt, '--drop-damaged', '--out', tmp_path / 'good.mcap')
    assert done.stdout.splitlines()[0] == '1 damaged messages are left out'
    assert 'damaged-message' not in cast_bag('check', tmp_path / 'good.mcap').stdout


def test_pictures_go_out_and_come_back(bag: Path, tmp_path: Path) -> None:
    out = cast_bag('to-dataset', bag, '--topic', TOPIC, '--out', tmp_path / 'set', '--every', '10')
    assert out.stdout == (f'{tmp_path / "set"}: 4 pictures, 4 of /ground_truth/instances, 4 of /ground_truth/depth\n')
    back = cast_bag('from-dataset', tmp_path / 'set', '--out', tmp_path / 'back.mcap', '--rate', '5')
    assert back.stdout == f'{tmp_path / "back.mcap"}: 4 frames\n'


def test_what_is_guessed_or_missing_of_the_camera_is_said(tmp_path: Path) -> None:
    grey = np.zeros((48, 64, 3), np.uint8)
    with BagWriter(tmp_path / 'drive.mcap') as writer:
        for at in (10**18, 10**18 + 10**8):
            info = camera_info(at, 'camera', (64, 48), (50.0, 50.0), (32.0, 24.0))
            info.d, info.p = np.array([-0.3, 0.1, 0, 0, 0]), info.p * ([0.8] * 8 + [1] * 4)
            writer.write('/c/camera_info', at, info)
            writer.write('/c/image', at, image(at, 'camera' if at == 10**18 else 'left', grey, 'rgb8'))
    arguments = ('to-dataset', tmp_path / 'drive.mcap', '--topic', '/c/image', '--out')
    missing = '1 pictures have no usable camera_info of their frame and size, and no focal length'
    told = cast_bag(*arguments, tmp_path / 'guessed').stdout.splitlines()
    assert told[0] == missing
    assert told[1].startswith('not settled: fx is 50 in K and 40 in P of camera_info, and K is used')
    told = cast_bag(*arguments, tmp_path / 'settled', '--rectified', 'true').stdout.splitlines()
    assert told == [missing, f'{tmp_path / "settled"}: 2 pictures']
    checked = [cast_bag('check', tmp_path / 'drive.mcap', *more).stdout for more in ((), ('--rectified', 'true'))]
    assert ['k-or-p: /c/image, 1 times' in out for out in checked] == [True, False]


def test_a_video_becomes_a_bag(tmp_path: Path) -> None:
    video = cv2.VideoWriter(str(tmp_path / 'v.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for value in (0, 100, 200):
        video.write(np.full((48, 64, 3), value, np.uint8))
    video.release()
    done = cast_bag('from-video', tmp_path / 'v.avi', '--topic', '/c/image/compressed', '--out', tmp_path / 'v.mcap')
    assert (done.returncode, done.stdout) == (0, f'{tmp_path / "v.mcap"}: 3 frames\n')
