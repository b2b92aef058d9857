# SPDX-License-Identifier: Apache-2.0
"""The drive in assets/, and the script that makes such drives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_street_drive import main, write_drive

from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.messages import stamp_ns


def test_the_street_drive_is_small_and_every_frame_has_one_stamp(project_root: Path) -> None:
    path = project_root / 'assets' / 'street_drive.mcap'
    assert path.stat().st_size <= 8_000_000
    per_frame = (topics.IMAGE, topics.CAMERA_INFO, topics.INSTANCES, topics.DEPTH)
    stamps: dict[str, list[int]] = {topic: [] for topic in per_frame}
    with BagReader(path) as reader:
        summary = reader.topics()
        for entry in reader.messages(per_frame):
            stamps[entry.topic].append(stamp_ns(entry.message))
            assert entry.message.header.frame_id == 'camera_optical_frame'
    assert all(times == stamps[topics.IMAGE] for times in stamps.values())
    assert np.diff(stamps[topics.IMAGE]).tolist() == [100_000_000] * 39
    assert summary[topics.LABEL_INFO].latched
    assert summary[topics.ABOUT].latched


def test_the_street_drive_holds_the_files_of_the_benchmark(project_root: Path, shared_data: Path) -> None:
    original = (shared_data / 'streets/leftImg8bit/drive/day/day_007000_000000_leftImg8bit.jpg').read_bytes()
    with BagReader(project_root / 'assets' / 'street_drive.mcap') as reader:
        first = next(reader.messages([topics.IMAGE]))
    assert first.message.data.tobytes() == original


def test_a_part_of_the_night_makes_a_drive_too(tmp_path: Path, shared_data: Path) -> None:
    out = tmp_path / 'night'
    assert write_drive(shared_data / 'streets', 'night', out, frames=2) == 2
    with BagReader(out) as reader:
        counts = {summary.name: summary.message_count for summary in reader.topics().values()}
        info = next(reader.messages([topics.CAMERA_INFO])).message
    assert counts[topics.IMAGE] == counts[topics.DEPTH] == counts[topics.INSTANCES] == counts[topics.CAMERA_INFO] == 2
    assert (info.width, info.height) == (512, 256)
    assert info.k[0] == pytest.approx(300.97, abs=0.01)


def test_a_folder_that_is_no_benchmark_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr('sys.argv', ['make', '--streets', str(tmp_path), '--out', str(tmp_path / 'x.mcap')])
    assert main() == 2
    assert 'has no drive/day' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
