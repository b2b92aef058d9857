# SPDX-License-Identifier: Apache-2.0
"""Lazy samples: the same pictures as those in memory, in any subset, here and in a loader's worker."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from drawn_coco import draw_coco
from torch.utils.data import DataLoader

from cast_train.data import Changed, LazySamples, load_samples, open_dataset
from cast_train.data.sample import Dataset
from cast_train.errors import DataError


@pytest.fixture
def pictures(tmp_path: Path) -> list[Dataset]:
    draw_coco(tmp_path, 'one')
    draw_coco(tmp_path, 'two')
    return [open_dataset('coco', tmp_path, 'one'), open_dataset('coco', tmp_path, 'two')]


def test_lazy_samples_are_those_in_memory(pictures: list[Dataset]) -> None:
    lazy, loaded = LazySamples(pictures), load_samples(pictures)
    assert len(lazy) == len(loaded) == 4
    assert [sample.name for sample in lazy] == [sample.name for sample in loaded] == ['a', 'b', 'a', 'b']
    for one, other in zip(lazy, loaded, strict=True):
        assert np.array_equal(one.image, other.image)
        assert one.instance_ids is not None
        assert other.instance_ids is not None
        assert np.array_equal(one.instance_ids, other.instance_ids)


def test_slices_and_subsets_count_through_what_they_are_of(pictures: list[Dataset]) -> None:
    lazy = LazySamples(pictures)
    assert lazy[-1].name == 'b'
    assert [sample.name for sample in lazy[1:3]] == ['b', 'a']
    assert [sample.name for sample in lazy[1:].subset([0, 2])] == ['b', 'b']
    assert len(lazy[:0]) == 0
    with pytest.raises(IndexError):
        lazy[4]
    with pytest.raises(IndexError):
        lazy.subset([7])


def test_nothing_is_read_before_it_is_asked_for(pictures: list[Dataset], tmp_path: Path) -> None:
    lazy = LazySamples(pictures)
    (tmp_path / 'two/a.jpg').unlink()
    assert lazy[3].name == 'b'
    with pytest.raises(DataError, match=r'a\.jpg: no such file'):
        lazy[2]


def test_workers_can_decode(pictures: list[Dataset]) -> None:
    lazy = LazySamples(pictures)
    # A spawned worker gets it pickled; a forked one would only share it.
    loader = DataLoader(lazy, batch_size=None, num_workers=1, multiprocessing_context='spawn')  # type: ignore[arg-type]
    assert [sample.name for sample in loader] == ['a', 'b', 'a', 'b']


def test_changed_samples_are_made_when_they_are_asked_for_also_by_workers(
    pictures: list[Dataset], tmp_path: Path
) -> None:
    changed = Changed(LazySamples(pictures), partial(replace, domain='night'))
    assert [(sample.name, sample.domain) for sample in changed] == [(name, 'night') for name in 'abab']
    loader = DataLoader(changed[1:3], batch_size=None, num_workers=1, multiprocessing_context='spawn')  # type: ignore[arg-type]
    assert [(sample.name, sample.domain) for sample in loader] == [('b', 'night'), ('a', 'night')]
    (tmp_path / 'two/a.jpg').unlink()
    assert len(changed[2:]) == 2
    with pytest.raises(DataError, match=r'a\.jpg: no such file'):
        changed[2:][0]
