# SPDX-License-Identifier: Apache-2.0
"""The demonstration as a person starts it: a process, a real node, real DDS."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from tiny_student import tiny_student

FRAMES = 40
DEADLINE_S = 120


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, '-m', 'cast_ros.offline.harness.demo', *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    process = start(*arguments)
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        if process.poll() is None:
            process.terminate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student(tmp_path_factory.mktemp('students') / 'tiny.onnx', height=128, width=256)


@pytest.fixture(scope='module')
def finished(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of one whole run, three times as fast as recorded."""
    out = tmp_path_factory.mktemp('demo')
    (out / 'overlay').mkdir()
    (out / 'overlay' / '9999.png').write_bytes(b'left by an earlier run')
    result = run('--model', model, '--out', out, '--rate', 3)
    assert result.returncode == 0, result.stdout + result.stderr
    return out, result.stdout


def test_metrics_have_exactly_the_promised_keys(finished: tuple[Path, str]) -> None:
    metrics = json.loads((finished[0] / 'metrics.json').read_text())
    assert {name: sorted(value) if isinstance(value, dict) else None for name, value in metrics.items()} == {
        'frames_sent': None,
        'frames_answered': None,
        'latency_ms': ['p50', 'p95'],
        'inference_ms': ['p50'],
        'drops': None,
        'instances': ['ap', 'ap50'],
        'semantic': ['miou'],
        'depth': ['abs_rel', 'delta1', 'rmse'],
        'model': ['name', 'sha256'],
        'provider': None,
    }


def test_every_frame_is_answered_and_timed(finished: tuple[Path, str]) -> None:
    metrics = json.loads((finished[0] / 'metrics.json').read_text())
    assert (metrics['frames_sent'], metrics['frames_answered'], metrics['drops']) == (FRAMES, FRAMES, 0)
    assert 0 < metrics['inference_ms']['p50'] < metrics['latency_ms']['p50'] <= metrics['latency_ms']['p95']


def test_the_node_really_ran_this_model(finished: tuple[Path, str], model: Path) -> None:
    metrics = json.loads((finished[0] / 'metrics.json').read_text())
    assert metrics['model'] == {'name': 'tiny', 'sha256': hashlib.sha256(model.read_bytes()).hexdigest()}
    assert metrics['provider'] == 'CPUExecutionProvider'


def test_numbers_are_those_of_a_student_that_knows_grey_roads_alone(finished: tuple[Path, str]) -> None:
    metrics = json.loads((finished[0] / 'metrics.json').read_text())
    assert metrics['instances'] == {'ap': 0.0, 'ap50': 0.0}
    assert 0 < metrics['semantic']['miou'] < 0.5
    assert metrics['depth']['abs_rel'] > 1
    assert 0 < metrics['depth']['delta1'] < 0.2


def test_pictures_are_there_and_old_ones_are_gone(finished: tuple[Path, str]) -> None:
    overlays = sorted((finished[0] / 'overlay').iterdir())
    assert [path.name for path in overlays] == [f'{index:04d}.png' for index in range(FRAMES)]
    assert cv2.imread(str(overlays[17])).shape == (256, 512, 3)
    assert cv2.imread(str(finished[0] / 'sheet.png')).shape[1] == 2400


def test_it_says_what_it_does_and_where_the_results_are(finished: tuple[Path, str]) -> None:
    out, said = finished
    assert 'Playing 40 frames' in said
    assert '40 of 40 frames answered' in said
    assert 'sheet.png' in said.replace('\n', '')
    assert f'{out.name}/metrics.json' in said.replace('\n', '')


def refused(*arguments: object) -> str:
    """The one sentence of a demo that cannot run."""
    result = run(*arguments)
    assert result.returncode == 2
    assert 'Traceback' not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_a_model_that_is_none_is_refused(tmp_path: Path, project_root: Path) -> None:
    assert 'is not a student' in refused('--model', project_root / 'README.md', '--out', tmp_path)


def test_a_missing_bag_is_refused(tmp_path: Path, model: Path) -> None:
    sentence = refused('--model', model, '--bag', tmp_path / 'nowhere.mcap', '--out', tmp_path)
    assert 'nowhere.mcap does not exist' in sentence


def test_a_node_that_dies_is_reported_with_its_last_words(tmp_path: Path, model: Path) -> None:
    sentence = refused('--model', model, '--out', tmp_path, '--score-threshold', 7)
    assert 'the node died with exit code 2' in sentence
    assert 'score_threshold' in sentence


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_and_takes_the_node_with_it(
    tmp_path: Path, model: Path, number: signal.Signals
) -> None:
    process = start('--model', model, '--out', tmp_path)
    assert process.stdout is not None
    try:
        while not process.stdout.readline().startswith('Playing'):
            assert process.poll() is None
        children = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
        assert len(children) == 1
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 130
    assert err == 'The demo was interrupted.\n'
    with pytest.raises(ProcessLookupError):
        os.kill(int(children[0]), 0)
