# SPDX-License-Identifier: Apache-2.0
"""`cast-train label` as a user runs it, alone and as two ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawn_streets import draw_streets
from tiny_run import untrained_run
from train_verb import cast_train


def label(*arguments: str | Path) -> int:
    return cast_train('label', *arguments)


def test_two_ranks_label_a_part_of_a_data_set_and_a_folder_of_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_streets(tmp_path, 'train', 'day', frames=3)
    run, out = untrained_run(tmp_path, tmp_path / 'run'), tmp_path / 'labels'
    common = ['network', '--set', f'checkpoint={run}', '--root', tmp_path, '--out', out]
    monkeypatch.setenv('WORLD_SIZE', '2')
    for rank, count in ((0, 2), (1, 1)):
        monkeypatch.setenv('RANK', str(rank))
        assert label(*common) == 0
        assert f'rank {rank} of 2: {count} pictures, {count} computed now' in capsys.readouterr().out
    report = json.loads((out / 'report.json').read_text())
    assert report['coverage'] == 1.0
    assert report['sums']['labelled'] == 3
    monkeypatch.delenv('RANK')
    monkeypatch.delenv('WORLD_SIZE')
    folder = tmp_path / 'leftImg8bit' / 'train' / 'day'
    assert label(*common, '--pictures', folder, '--fx', '182.8') == 0
    assert '3 pictures, 0 computed now' in capsys.readouterr().out  # the same pixels and camera: found


def test_mistakes_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_streets(tmp_path, 'train', 'day', frames=1)
    for arguments, said in (
        (['network', '--set', f'checkpoint={tmp_path / "none"}'], 'no such run'),
        (['oracle'], 'unknown teacher'),
        (['network', '--set', 'checkpoint'], 'key=value'),
        (['network', '--set', 'checkpoint=[1'], 'not YAML'),
    ):
        assert label(*arguments, '--root', tmp_path, '--out', tmp_path / 'labels') == 2
        error = capsys.readouterr().err
        assert said in error
        assert 'Traceback' not in error
