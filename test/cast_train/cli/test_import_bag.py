# SPDX-License-Identifier: Apache-2.0
"""`cast-train import-bag` as a user runs it, and a student that learns from what it made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawn_bags import TOPIC, drive, write_bag, write_labelled_bag
from tiny_recipe import tiny_recipe
from train_verb import cast_train

from cast_train.engine.fitting import fit
from cast_train.engine.trained import load_student
from cast_train.errors import DataError


def run_import(*arguments: str | Path) -> int:
    return cast_train('import-bag', *arguments)


def test_every_option_reaches_the_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag, out = write_labelled_bag(tmp_path / 'drive', 20), tmp_path / 'out'
    options = (
        '--domain night --camera-info /camera/camera_info --no-labels --classes streets --val 0.5 --block-s 0.6 '
        '--guard-s 0.1 --rate-hz 8 --limit 12 --blur-below 0.1 --duplicate-below 0.5 --bright-above 0.7 '
        '--dark-above 0.8 --height 32 --width 40 --jpeg-quality 80 --rectified true'
    )
    assert run_import(bag, '--topic', TOPIC, '--out', out, *options.split()) == 0
    assert capsys.readouterr().out.startswith(f'{out}: ')
    document = json.loads((out / 'frames.json').read_text())
    assert document['settings'] == {
        'topic': TOPIC,
        'camera_info': '/camera/camera_info',
        'rectified': 'true',
        'domain': 'night',
        'labels': False,
        'classes': 'streets',
        'selection': {
            'blur_below': 0.1,
            'bright_above': 0.7,
            'dark_above': 0.8,
            'duplicate_below': 0.5,
            'rate_hz': 8.0,
            'limit': 12,
        },
        'blocks': {'val': 0.5, 'block_s': 0.6, 'guard_s': 0.1},
        'max_width': None,
        'height': 32,
        'width': 40,
        'jpeg_quality': 80,
    }
    assert {(frame['height'], frame['width']) for frame in document['frames']} == {(32, 40)}


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / 'drive.mcap', drive(4))
    (tmp_path / 'text.mcap').write_text('not a bag')
    for arguments, said in (
        ([tmp_path / 'none.mcap', '--topic', TOPIC], 'does not exist'),
        ([tmp_path / 'text.mcap', '--topic', TOPIC], 'cannot be read as a bag'),
        ([bag, '--topic', '/other'], f'topics with pictures: {TOPIC} (4)'),
        ([bag, '--topic', TOPIC, '--height', '64'], 'belong together'),
        ([bag, '--topic', TOPIC, '--guard-s', '60', '--block-s', '0.1'], 'leaves nothing'),
    ):
        assert run_import(*arguments, '--out', tmp_path / 'out') == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_a_student_learns_from_an_imported_bag(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    assert run_import(write_labelled_bag(tmp_path / 'drive', 30), '--topic', TOPIC, '--out', out) == 0
    parts = {'train': [{'split': 'train'}], 'validation': [{'split': 'val'}]}
    recipe = tiny_recipe(out, steps=1, data={'dataset': 'frames', 'root': str(out), **parts})
    fit(recipe, tmp_path / 'run', resume=False)
    student, _, _ = load_student(tmp_path / 'run')
    assert [entry.name for entry in student.contract.classes] == ['road', 'sky', 'car']


def test_a_student_cannot_learn_from_frames_without_classes(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    assert run_import(write_bag(tmp_path / 'drive', drive(30)), '--topic', TOPIC, '--out', out) == 0
    part = [{'split': 'train'}]
    recipe = tiny_recipe(out, steps=1, data={'dataset': 'frames', 'root': str(out), 'train': part, 'validation': part})
    with pytest.raises(DataError, match='these frames have no classes'):
        fit(recipe, tmp_path / 'run', resume=False)
