# SPDX-License-Identifier: Apache-2.0
"""The stream of batches: seeded, independent of workers, and the same after a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from drawn_streets import draw_streets

from cast_train.data import (
    Augmentation,
    Batch,
    Sample,
    Source,
    StrongViews,
    ViewRules,
    batches,
    load_samples,
    open_dataset,
    strong_view,
)
from cast_train.data.batches import pick
from cast_train.errors import RecipeError

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


def first_batch(sources: list[Source], strong: StrongViews | None = None, first: int = 0) -> Batch:
    return next(batches(sources, RULES, seed=5, first=first, last=first + 1, workers=0, strong=strong))


def test_two_sources_share_every_batch_and_keep_their_own_order(samples: list[Sample]) -> None:
    alone = first_batch([Source(samples, 2)], first=3)
    both = first_batch([Source(samples, 2), Source(samples[:1], 3)], first=3)
    assert (len(both.images), len(both.targets), both.labelled) == (5, 5, 2)
    assert torch.equal(both.images[:2], alone.images)
    assert len({target.seed for target in both.targets}) == 5
    assert [pick(p, 7, 1, source=0) for p in range(7)] != [pick(p, 7, 1, source=1) for p in range(7)]


def test_strong_views_have_the_geometry_of_the_weak_ones_and_change_nothing_else(samples: list[Sample]) -> None:
    sources = [Source(samples, 3)]
    gentle = StrongViews(jitter=1.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grayscale=0.0, blur=0.0)
    weak, same, strong = (first_batch(sources, kind) for kind in (None, gentle, StrongViews(jitter=1.0)))
    assert weak.strong is None
    assert same.strong is not None
    assert strong.strong is not None
    assert torch.equal(weak.images, strong.images)
    assert (same.strong.int() - weak.images.int()).abs().max() <= 1
    assert strong.strong.shape == weak.images.shape
    assert not torch.equal(strong.strong, weak.images)
    assert torch.equal(strong.strong, first_batch(sources, StrongViews(jitter=1.0)).strong)


def test_a_strong_view_may_lose_its_colours() -> None:
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    grey = strong_view(image, StrongViews(jitter=0.0, grayscale=1.0, blur=0.0), [1])
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    assert torch.equal(strong_view(image, StrongViews(jitter=0.0, grayscale=0.0, blur=0.0), [1]), image)


def test_parts_of_a_batch_have_both_kinds_of_rows(samples: list[Sample]) -> None:
    batch = first_batch([Source(samples, 2), Source(samples, 4)], StrongViews())
    parts = batch.parts(2)
    assert [part.labelled for part in parts] == [1, 1]
    assert torch.equal(parts[1].images, batch.images[[1, 4, 5]])
    assert parts[1].strong is not None
    assert batch.strong is not None
    assert torch.equal(parts[1].strong, batch.strong[[1, 4, 5]])
    assert parts[1].targets == [batch.targets[1], batch.targets[4], batch.targets[5]]
    with pytest.raises(RecipeError, match='2 labelled and 4 pseudo-labelled pictures cannot be shared by 4'):
        batch.parts(4)
