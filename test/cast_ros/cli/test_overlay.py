# SPDX-License-Identifier: Apache-2.0
"""`cast overlay`, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_student import tiny_student


def cast_overlay(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', 'overlay', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, 'NO_COLOR': '1'})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_student(tmp_path / 'tiny.onnx')


def test_pictures_and_videos_become_overlay_and_depth_side_by_side(model: Path, tmp_path: Path) -> None:
    picture = np.full((90, 160, 3), (0, 0, 255), np.uint8)
    cv2.imwrite(str(tmp_path / 'street.jpg'), picture)
    video = cv2.VideoWriter(str(tmp_path / 'drive.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (160, 90))
    for _ in range(5):
        video.write(picture)
    video.release()
    done = cast_overlay(
        tmp_path / 'street.jpg', tmp_path / 'drive.avi', '--model', model, '--out', tmp_path / 'o', '--every', '2'
    )
    assert (done.returncode, done.stderr) == (0, '')
    names = sorted(path.name for path in (tmp_path / 'o').iterdir())
    assert names == ['drive_000000.png', 'drive_000002.png', 'drive_000004.png', 'street.png']
    written = cv2.imread(str(tmp_path / 'o' / 'street.png'))
    assert written is not None
    assert written.shape == (90, 320, 3)
    assert np.abs(written[:, :160].astype(int) - picture).max() > 30, 'the red instance is drawn over'


@pytest.mark.parametrize(
    ('name', 'content', 'reason'),
    [
        ('absent.jpg', None, 'there is no such file'),
        ('note.jpg', b'hello', 'cannot be decoded'),
        ('x.mp4', b'hello', 'no frame'),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(
    model: Path, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = cast_overlay(tmp_path / name, '--model', model, '--out', tmp_path / 'o')
    assert done.returncode == 2
    assert f'{name}: ' in done.stderr
    assert reason in done.stderr
    assert 'Traceback' not in done.stderr


def test_pictures_of_one_name_are_refused_before_one_is_written_over_the_other(model: Path, tmp_path: Path) -> None:
    for name in ('a/x.png', 'b/x.jpg'):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), np.zeros((64, 128, 3), np.uint8))
    done = cast_overlay(tmp_path / 'a/x.png', tmp_path / 'b/x.jpg', '--model', model, '--out', tmp_path / 'o')
    assert done.returncode == 2
    assert f'{tmp_path}/a/x.png and {tmp_path}/b/x.jpg have one name, x, ' in done.stderr
    assert not (tmp_path / 'o').exists()


def test_a_picture_named_as_a_frame_of_a_video_is_refused(model: Path, tmp_path: Path) -> None:
    picture = np.zeros((64, 128, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'x_000000.jpg'), picture)
    video = cv2.VideoWriter(str(tmp_path / 'x.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (128, 64))
    video.write(picture)
    video.release()
    done = cast_overlay(tmp_path / 'x_000000.jpg', tmp_path / 'x.avi', '--model', model, '--out', tmp_path / 'o')
    assert done.returncode == 2
    assert 'x_000000.png is another picture and is not overwritten' in done.stderr


def test_the_input_is_never_overwritten(model: Path, tmp_path: Path) -> None:
    picture = tmp_path / 'x.png'
    cv2.imwrite(str(picture), np.zeros((64, 128, 3), np.uint8))
    content = picture.read_bytes()
    done = cast_overlay(picture, '--model', model, '--out', tmp_path)
    assert done.returncode == 2
    assert 'x.png is the input itself and is not overwritten' in done.stderr
    assert picture.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_one_line(model: Path, tmp_path: Path) -> None:
    picture = tmp_path / 'x.png'
    cv2.imwrite(str(picture), np.zeros((64, 128, 3), np.uint8))
    for out in (picture, picture / 'deeper', tmp_path / ('long' * 100)):
        done = cast_overlay(picture, '--model', model, '--out', out)
        assert done.returncode == 2
        assert str(out) in done.stderr
        assert len(done.stderr.splitlines()) == 1
