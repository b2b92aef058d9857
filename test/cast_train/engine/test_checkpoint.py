# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: never half written, never code, never lost."""

from __future__ import annotations

import errno
import os
import pickle
import resource
from pathlib import Path

import pytest
import torch

from cast_train.engine.checkpoint import holds_run, load_checkpoint, load_newest, save_checkpoint
from cast_train.errors import TrainingError

STATE = {'recipe': {'name': 'a'}, 'ema': {'w': torch.arange(3.0)}, 'step': 5}


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    save_checkpoint(STATE, tmp_path / 'deep' / 'last.pt')
    state = load_checkpoint(tmp_path / 'deep' / 'last.pt')
    assert state['step'] == 5
    assert torch.equal(state['ema']['w'], torch.arange(3.0))
    assert sorted(path.name for path in (tmp_path / 'deep').iterdir()) == ['last.pt']


def test_a_full_disk_keeps_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'last.pt'
    save_checkpoint(STATE, path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(TrainingError, match='last good one is kept'):
        save_checkpoint({**STATE, 'step': 6}, path)
    monkeypatch.undo()
    assert load_checkpoint(path)['step'] == 5
    assert not path.with_name('last.pt.tmp').exists()


def test_a_file_size_limit_keeps_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / 'last.pt'
    save_checkpoint(STATE, path)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, former[1]))
    try:
        with pytest.raises(TrainingError, match=r'last\.pt: cannot write the checkpoint .*free some space'):
            save_checkpoint({**STATE, 'step': 6, 'network': torch.zeros(100_000)}, path, tmp_path / 'previous.pt')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert load_checkpoint(path)['step'] == 5
    assert [file.name for file in tmp_path.iterdir()] == ['last.pt']


def test_the_previous_checkpoint_is_kept_and_stands_in(tmp_path: Path) -> None:
    last, previous = tmp_path / 'last.pt', tmp_path / 'previous.pt'
    for step in (1, 2, 3):
        save_checkpoint({**STATE, 'step': step}, last, previous)
    assert [load_checkpoint(path)['step'] for path in (last, previous)] == [3, 2]
    assert load_newest(tmp_path)[0]['step'] == 3
    last.write_bytes(last.read_bytes()[:-200])
    state, warning = load_newest(tmp_path)
    assert state['step'] == 2
    assert 'last.pt: cannot be read' in warning
    assert 'going on from' in warning
    # The broken one is out of the way: the next save must not put it in the place of the good one.
    save_checkpoint({**STATE, 'step': 4}, last, previous)
    assert [load_checkpoint(path)['step'] for path in (last, previous)] == [4, 2]
    # A kill between the two renames leaves only the previous one.
    last.unlink()
    assert holds_run(tmp_path)
    assert load_newest(tmp_path)[0]['step'] == 2


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'last.pt'
    with pytest.raises(TrainingError, match='no such checkpoint'):
        load_checkpoint(path)
    for content in (b'', b'garbage', pickle.dumps({'a': 1})):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r'cannot be read|is not a checkpoint'):
            load_checkpoint(path)
    save_checkpoint(STATE, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TrainingError, match='use an older one'):
        load_checkpoint(path)
    torch.save({'weights': 1}, path)
    with pytest.raises(TrainingError, match='no recipe and weights'):
        load_checkpoint(path)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / 'owned',))

    torch.save({'recipe': Attack(), 'ema': {}}, tmp_path / 'last.pt')
    with pytest.raises(TrainingError):
        load_checkpoint(tmp_path / 'last.pt')
    assert not (tmp_path / 'owned').exists()
