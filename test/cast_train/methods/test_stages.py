# SPDX-License-Identifier: Apache-2.0
"""Stages that are done once."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cast_train.data import Sample
from cast_train.errors import TrainingError
from cast_train.methods.stages import (
    LOCK,
    StageBusyError,
    Stages,
    digest_of,
    digest_of_file,
    digest_of_samples,
)


def work(folder: Path) -> dict[str, Any]:
    with (folder / 'calls').open('a') as file:
        file.write('x')
    return {'metrics': {'ap': 0.5}}


def test_the_same_inputs_are_worked_on_once(tmp_path: Path) -> None:
    first = Stages(tmp_path, print).once('teacher', {'seed': 1}, work)
    again = Stages(tmp_path, print).once('teacher', {'seed': 1}, work)
    assert first == again
    assert first.result == {'metrics': {'ap': 0.5}}
    assert (first.folder / 'calls').read_text() == 'x'


def test_other_inputs_and_other_names_are_other_stages(tmp_path: Path) -> None:
    stages = Stages(tmp_path, print)
    done = [stages.once(name, {'seed': seed}, work) for name, seed in (('a', 1), ('a', 2), ('b', 1))]
    assert len({stage.folder for stage in done}) == 3
    assert stages.used == done


def test_a_stage_that_failed_is_worked_on_again_in_its_folder(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        work(folder)
        raise TrainingError('diverged')

    with pytest.raises(TrainingError, match='diverged'):
        Stages(tmp_path, print).once('teacher', {}, fail)
    stage = Stages(tmp_path, print).once('teacher', {}, work)
    assert (stage.folder / 'calls').read_text() == 'xx'


def test_looking_does_no_work_and_knows_what_a_stage_would_be_called(tmp_path: Path) -> None:
    looked = Stages(tmp_path, print, look=True).once('teacher', {}, work)
    assert list(tmp_path.iterdir()) == []
    assert (looked.result, looked.revision) == ({}, '')
    done = Stages(tmp_path, print).once('teacher', {}, work)
    assert (looked.key, looked.folder) == (done.key, done.folder)
    assert Stages(tmp_path, print, look=True).once('teacher', {}, work) == done


def test_a_stage_that_another_process_works_on_is_busy(tmp_path: Path) -> None:
    def nested(folder: Path) -> dict[str, Any]:
        with (folder / LOCK).open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(StageBusyError, match='another process works on this stage'):
            Stages(tmp_path, print).once('teacher', {}, work)
        return {}

    assert Stages(tmp_path, print).once('teacher', {}, nested).result == {}


def test_digests_follow_the_content() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    assert digest_of({'a': 1, 'b': 2}) == digest_of({'b': 2, 'a': 1}) != digest_of({'a': 2, 'b': 1})
    assert digest_of_samples([Sample('a', image)]) != digest_of_samples([Sample('b', image)])
    assert digest_of_samples([Sample('a', image)]) != digest_of_samples([Sample('a', image + 1)])
    labelled = Sample('a', image, semantic=np.zeros((2, 2), np.uint8))
    assert digest_of_samples([Sample('a', image)]) != digest_of_samples([labelled])
    ids = np.ones((2, 2), np.uint8)
    open_labels = [
        {'complete': ()},
        {'complete': (1,)},
        {'union_ids': ids, 'unions': ((1, 2),)},
        {'union_ids': 0 * ids},
    ]
    found = {digest_of_samples([Sample('a', image, **one)]) for one in ({}, *open_labels)}
    assert len(found) == 5


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r'nothing\.pt: no such file'):
        digest_of_file(tmp_path / 'nothing.pt')
