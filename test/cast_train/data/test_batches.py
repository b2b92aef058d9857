# SPDX-License-Identifier: Apache-2.0
"""The stream of batches: seeded, independent of workers, and the same after a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from drawn_streets import draw_streets

from cast_train.data import Augmentation, Sample, Source, ViewRules, batches, load_samples, open_dataset
from cast_train.data.batches import pick

RULES = ViewRules(64, 128, 100.0, 80.0, (8, 9, 10), Augmentation())


@pytest.fixture(scope='module')
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    root: Path = tmp_path_factory.mktemp('streets')
    draw_streets(root, 'train', 'day', frames=3)
    return load_samples([open_dataset('streets', root, 'train', 'day')])


def test_a_resumed_stream_goes_on_with_the_same_batches(samples: list[Sample]) -> None:
    straight = list(batches([Source(samples, 2)], RULES, seed=5, first=0, last=4, workers=0))
    resumed = list(batches([Source(samples, 2)], RULES, seed=5, first=2, last=4, workers=0))
    assert torch.equal(straight[2].images, resumed[0].images)
    assert torch.equal(straight[3].images, resumed[1].images)


def test_workers_do_not_change_the_batches(samples: list[Sample]) -> None:
    alone, helped = (
        list(batches([Source(samples, 2)], RULES, seed=5, first=0, last=3, workers=count)) for count in (0, 1)
    )
    assert all(torch.equal(a.images, b.images) for a, b in zip(alone, helped, strict=True))


def test_an_epoch_shows_every_sample_once() -> None:
    epochs = [sorted(pick(position, 7, seed=1) for position in range(start, start + 7)) for start in (0, 7)]
    assert epochs == [list(range(7))] * 2
    assert [pick(p, 7, 1) for p in range(7)] != [pick(p, 7, 1) for p in range(7, 14)]
