# SPDX-License-Identifier: Apache-2.0
"""`cast replay` and `cast evaluate` as a user runs them: in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from drawn_replay import write_street_bag
from tiny_student import FOCAL_REFERENCE_PX, tiny_student


def cast(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', 'from cast_ros.cli import main; main()', *map(str, arguments)]
    variables = {**os.environ, 'COLUMNS': '120', 'NO_COLOR': '1'}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street_bag(tmp_path_factory.mktemp('bag') / 'street.mcap', 9)


@pytest.fixture(scope='module')
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student(tmp_path_factory.mktemp('student') / 'tiny.onnx')


def test_replay_prints_the_headlines_and_where_the_report_is(tmp_path: Path, bag: Path, student: Path) -> None:
    done = cast('replay', bag, '--model', student, '--model', student, '--out', tmp_path / 'out', '--threads', 1)
    assert (done.returncode, done.stderr) == (0, '')
    assert '9 pictures of 256×128 in 1 s on /camera/image_raw, with ground truth' in done.stdout
    assert 'AP50' in done.stdout
    assert '+0.0 (+0.0 … +0.0)' in done.stdout
    written = {path.name for path in (tmp_path / 'out').iterdir()}
    assert written == {'frames.jsonl', 'timings.jsonl', 'metrics.json', 'report.html', 'results.mcap'}
    document = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert document['bag']['pictures'] == 9


def test_replay_says_which_depth_is_not_comparable(tmp_path: Path, bag: Path, student: Path) -> None:
    spec = {'unit': 'metre', 'cap_m': 40.0, 'focal_reference_px': FOCAL_REFERENCE_PX}
    near = tiny_student(tmp_path / 'near.onnx', name='near', contract={'depth': spec})
    done = cast('replay', bag, '--model', student, '--model', near, '--out', tmp_path / 'out', '--threads', 1)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if 'RMSE' in line)
    assert 'not comparable: tiny up to 80 m, near up to 40 m' in line


def test_replay_says_how_many_pictures_have_no_usable_calibration(tmp_path: Path, bag: Path, student: Path) -> None:
    bare = tmp_path / 'bare.mcap'
    assert cast('bag', 'cut', bag, '--topics', '/camera/image_raw', '--out', bare).returncode == 0
    done = cast('replay', bare, '--model', student, '--out', tmp_path / 'out', '--threads', 1)
    assert (done.returncode, done.stderr) == (0, '')
    assert (
        "9 of 9 pictures have no usable calibration: no camera_info for frame 'camera' with 256x128 pixels. Their "
        'depth is not metric' in done.stdout
    )


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (('nowhere.mcap',), 'nowhere.mcap does not exist'),
        (('README.md',), 'cannot be read as a bag'),
        (('BAG', '--topic', '/left'), 'topics with pictures: /camera/image_raw (9)'),
        (('BAG', '--topic', '/camera/camera_info'), 'not pictures'),
        (('BAG', '--camera-info-topic', '/left/camera_info'), 'it has: /camera/camera_info'),
    ],
)
def test_what_cannot_be_replayed_is_one_line_and_exit_code_2(
    tmp_path: Path, project_root: Path, bag: Path, student: Path, arguments: tuple[str, ...], reason: str
) -> None:
    given = [
        str(bag) if word == 'BAG' else str(project_root / word) if word == 'README.md' else word for word in arguments
    ]
    done = cast('replay', *given, '--model', student, '--out', tmp_path / 'out')
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_evaluate_ends_with_3_if_a_criterion_fails_and_with_0_if_none_does(
    tmp_path: Path, bag: Path, student: Path
) -> None:
    file = tmp_path / 'scenarios.yaml'
    for least, code, word in ((0.9, 0, 'passed'), (1.1, 3, 'FAILED')):
        scenario = {'name': 'street', 'bag': str(bag), 'criteria': {'instances.ap50': {'at_least': least}}}
        file.write_text(yaml.safe_dump({'models': [str(student)], 'scenarios': [scenario]}))
        done = cast('evaluate', file, '--out', tmp_path / 'out')
        assert done.returncode == code, done.stderr
        assert word in done.stdout
        assert (tmp_path / 'out' / 'junit.xml').exists()


def test_a_missing_library_of_tracking_is_told_before_the_bag_is_played(tmp_path: Path) -> None:
    (tmp_path / 'trackers.py').write_text("raise ImportError('not here')", encoding='utf-8')
    program = [sys.executable, '-c', 'from cast_ros.cli import main; main()', 'replay', '/nowhere.mcap']
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run(
        [*program, '--model', '/nowhere.onnx', '--out', str(tmp_path / 'out'), '--live', '--tracking'],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, 'PYTHONPATH': path},
    )
    assert done.returncode == 2
    assert "tracking needs the libraries of the extra 'tracking'" in done.stderr
