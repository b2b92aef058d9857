# SPDX-License-Identifier: Apache-2.0
"""`cast bench node`, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from tiny_student import tiny_student

from cast_ros.cli.bench import read_picture


def bench(
    *arguments: str, verb: str = 'node', environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', 'bench', verb, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


def test_it_says_where_the_time_of_a_picture_goes(tmp_path: Path) -> None:
    model = tiny_student(tmp_path / 'tiny.onnx')
    done = bench('--model', str(model), '--size', '320x180', '--seconds', '0.5', '--json')
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result['pictures'] >= 200
    assert (result['model'], result['size']) == ('tiny 0.0.1', '320x180')
    assert result['outputs'] == [
        'detections', 'instances', 'semantic', 'depth', 'depth_raw', 'depth_camera_info', 'detections_3d', 'nearest',
        'points',
    ]  # fmt: skip
    assert result['times_inference'] == pytest.approx(result['latency_ms'][0] / result['stage_ms']['inference'][0])
    assert result['times_inference'] > 1
    assert set(result['stage_ms']) == {'waiting', 'decode', 'preprocess', 'inference', 'postprocess', 'publish'}
    p50, p95, p99 = result['latency_ms']
    assert 0 < result['processing_ms'][0] < p50 <= p95 <= p99
    assert 0 < result['beside_inference_ms'] < result['processing_ms'][0]


@pytest.mark.skipif(
    not (Path(sys.prefix) / 'share' / 'ament_index').is_dir(), reason='ROS 2 is not in the environment of Python'
)
def test_in_the_environment_of_make_nothing_has_to_be_sourced(tmp_path: Path) -> None:
    model = tiny_student(tmp_path / 'tiny.onnx')
    bare = {name: value for name, value in os.environ.items() if name != 'AMENT_PREFIX_PATH'}
    done = bench('--model', str(model), '--size', '320x180', '--seconds', '0.1', environment=bare)
    assert done.returncode == 0, done.stderr
    assert 'times the inference' in ' '.join(done.stdout.split())


def test_it_takes_what_the_robot_sees(tmp_path: Path) -> None:
    model, picture = tiny_student(tmp_path / 'tiny.onnx'), tmp_path / 'seen.png'
    cv2.imwrite(str(picture), np.full((90, 160, 3), 200, np.uint8))
    done = bench('--model', str(model), '--picture', str(picture), '--size', '320x180', '--seconds', '0.1', '--json')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['pictures'] >= 200
    sent = read_picture(picture, (320, 180))
    assert sent.shape == (180, 320, 3)
    assert (sent == 200).all()


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (('--picture', 'absent.png'), 'absent.png cannot be read as a picture; check the path'),
        (('--size', '1280'), "not '1280'"),
        (('--size', '8x8'), 'at least 16 pixels'),
        (('--model', 'absent.onnx'), 'absent.onnx: there is no such file'),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], sentence: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count('\n') == 1


def test_a_short_soak_answers_the_newest_picture_of_every_burst(tmp_path: Path) -> None:
    model = tiny_student(tmp_path / 'tiny.onnx')
    done = bench(
        '--model', str(model), '--size', '640x360', '--minutes', '0.15', '--rate', '400', '--json', verb='soak'
    )
    # Memory says nothing in so short a time: 3 would be its slope.
    assert done.returncode in (0, 3), done.stderr
    result = json.loads(done.stdout)
    assert (result['unanswered'], result['errors'], result['bursts']) == (0, 0, 2)
    assert result['answered'] > 0
    assert 10 < result['memory_mb'] < 1000
