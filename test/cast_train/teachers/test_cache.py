# SPDX-License-Identifier: Apache-2.0
"""Labels on disk: found by content, whole or not there, and damage never passes for labels."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cast_train.errors import TeacherError
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.teacher import PseudoLabels

HEIGHT, WIDTH = 8, 12


def labels() -> PseudoLabels:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 80, (HEIGHT, WIDTH)).astype(np.float32)
    depth[0], depth[1] = np.inf, np.nan
    return PseudoLabels(
        HEIGHT,
        WIDTH,
        np.array([9, 8]),
        np.array([0.9, 0.4], np.float32),
        rng.integers(0, 255, (2, 4, 6), np.uint8),
        rng.integers(0, 11, (HEIGHT, WIDTH), np.uint8),
        depth,
    )


def picture(value: int = 0) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def stored(folder: Path) -> tuple[LabelCache, str, Path]:
    cache = LabelCache(folder, 'teacher')
    key = cache.key(picture(), 10.0)
    cache.store(key, labels())
    return cache, key, cache.path(key)


def test_labels_come_back_as_they_were_returned_when_they_were_stored(tmp_path: Path) -> None:
    cache = LabelCache(tmp_path, 'teacher')
    key = cache.key(picture(), None)
    assert cache.load(key) is None
    first, again, true = cache.store(key, labels()), cache.load(key), labels()
    assert again is not None
    for name in ('labels', 'scores', 'soft_masks', 'semantic'):
        assert np.array_equal(getattr(again, name), getattr(true, name))
        assert getattr(again, name).dtype == getattr(true, name).dtype
    assert first.depth_m is not None
    assert np.array_equal(first.depth_m, again.depth_m, equal_nan=True)
    assert np.allclose(first.depth_m, true.depth_m, rtol=5e-4, equal_nan=True)
    assert first.depth_m.dtype == np.float32
    assert np.isinf(first.depth_m[0]).all()
    assert [path.suffix for path in tmp_path.rglob('*.*')] == ['.npz']


def test_absent_answers_and_no_detection_at_all_are_kept(tmp_path: Path) -> None:
    cache = LabelCache(tmp_path, 'teacher')
    key = cache.key(picture(), None)
    nothing = replace(
        labels(),
        labels=np.zeros(0, np.int64),
        scores=np.zeros(0, np.float32),
        soft_masks=np.zeros((0, 4, 6), np.uint8),
        semantic=None,
        depth_m=None,
    )
    cache.store(key, nothing)
    found = cache.load(key)
    assert found is not None
    assert len(found.labels) == 0
    assert found.semantic is None
    assert found.depth_m is None


def test_pixels_camera_and_teacher_each_lead_to_another_file(tmp_path: Path) -> None:
    cache, other = LabelCache(tmp_path, 'teacher'), LabelCache(tmp_path, 'another')
    changed = picture()
    changed[3, 4, 1] = 1
    keys = [
        cache.key(picture(), None),
        cache.key(picture(), 10.0),
        cache.key(picture(), 10.5),
        cache.key(changed, None),
        cache.key(picture().reshape(WIDTH, HEIGHT, 3), None),
        other.key(picture(), None),
    ]
    assert len(set(keys)) == len(keys)
    assert cache.key(picture()[:, ::-1], None) == keys[0]  # how an array lies in memory does not matter


@pytest.mark.parametrize('damage', ['truncated', 'empty', 'text', 'pickle', 'other key', 'other shape'])
def test_damage_is_said_with_the_path(tmp_path: Path, damage: str) -> None:
    cache, key, path = stored(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == 'truncated':
        content = content[: len(content) // 2]
    elif damage == 'empty':
        content = bytearray()
    elif damage == 'text':
        content = bytearray(b'not an archive')
    else:
        arrays = dict(np.load(path))
        change = {'pickle': {'labels': np.array([{}, {}])}, 'other key': {'key': np.array('0')}}
        arrays |= change.get(damage, {'semantic': np.zeros((3, 3), np.uint8)})
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        content = bytearray(buffer.getvalue())
    path.write_bytes(content)
    with pytest.raises(TeacherError, match=rf'{key}\.npz: damaged label file'):
        cache.load(key)


def test_a_flipped_bit_anywhere_never_changes_labels(tmp_path: Path) -> None:
    cache, key, path = stored(tmp_path)
    true, content, refused = cache.load(key), path.read_bytes(), 0
    assert true is not None
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = cache.load(key)
        except TeacherError:
            refused += 1
            continue
        assert found is not None
        for name in ('labels', 'scores', 'soft_masks', 'semantic', 'depth_m'):
            assert getattr(true, name).tobytes() == getattr(found, name).tobytes()
    assert refused > len(content) / 7 / 2


def test_a_sweep_takes_what_killed_processes_left_and_no_labels(tmp_path: Path) -> None:
    cache, key, path = stored(tmp_path)
    left = path.with_name(f'{path.name}.4711.tmp')
    left.write_bytes(b'half of it')
    cache.sweep()
    assert not left.exists()
    assert cache.load(key) is not None
    LabelCache(tmp_path / 'nothing yet', 'teacher').sweep()


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / 'labels').write_text('a file where the folder should be')
    cache = LabelCache(tmp_path, 'teacher')
    with pytest.raises(TeacherError, match='cannot write labels'):
        cache.store(cache.key(picture(), None), labels())
