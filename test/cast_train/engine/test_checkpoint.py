# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: never half written, never code, never lost."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from cast_train.engine.checkpoint import load_checkpoint, save_checkpoint
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
