# SPDX-License-Identifier: Apache-2.0
"""The endless, seeded stream of training batches; step n is the same batch however the run got there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from cast_train.data.augment import Augmentation, Targets, make_targets, make_view
from cast_train.data.sample import Dataset, Sample


@dataclass(frozen=True)
class Batch:
    """B pictures (B×3×H×W uint8) and their targets.

    Attributes:
        images: the view that is learned from.
        targets: of each picture.
        labelled: the first so many carry true labels, the others pseudo-labels.
        strong: the same views with stronger changes of colour and sharpness, B×3×H×W uint8; None where nobody asked.
    """

    images: Tensor
    targets: list[Targets]
    labelled: int
    strong: Tensor | None = None


@dataclass(frozen=True)
class ViewRules:
    """Everything that decides how a sample becomes a training view."""

    height: int
    width: int
    focal_reference_px: float
    cap_m: float
    thing_ids: tuple[int, ...]
    augmentation: Augmentation | None


class _Steps(TorchDataset[Batch]):
    """Item n is the batch of step ``first + n``: a resumed run needs no sampler state, only its step number."""

    def __init__(
        self, samples: Sequence[Sample], rules: ViewRules, batch: int, seed: int, first: int, last: int
    ) -> None:
        self._samples, self._rules, self._batch, self._seed = samples, rules, batch, seed
        self._first, self._last = first, last

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, index: int) -> Batch:
        step = self._first + index
        views = []
        for slot in range(self._batch):
            position = step * self._batch + slot
            sample = self._samples[pick(position, len(self._samples), self._seed)]
            rules = self._rules
            views.append(
                make_view(
                    sample,
                    rules.height,
                    rules.width,
                    rules.focal_reference_px,
                    rules.cap_m,
                    rules.augmentation,
                    [self._seed, step, slot],
                )
            )
        targets = [make_targets(view, self._rules.thing_ids) for view in views]
        return Batch(torch.stack([view.image for view in views]), targets, labelled=len(views))


def pick(position: int, count: int, seed: int) -> int:
    """Return which sample stands at ``position`` of the stream: each epoch is a fresh permutation of all."""
    epoch, offset = divmod(position, count)
    return int(np.random.default_rng([seed, epoch]).permutation(count)[offset])


def load_samples(datasets: Sequence[Dataset]) -> list[Sample]:
    """Read every sample once: street-sized sets fit in memory, and decoding each epoch anew would cost more."""
    return [dataset[index] for dataset in datasets for index in range(len(dataset))]


def batches(
    samples: Sequence[Sample],
    rules: ViewRules,
    batch: int,
    seed: int,
    first: int,
    last: int,
    workers: int,
) -> Iterator[Batch]:
    """Yield the batches of steps ``first`` to ``last`` (exclusive), prepared by ``workers`` processes ahead of time."""
    steps = _Steps(samples, rules, batch, seed, first, last)
    # A generator of its own: a loader draws a number when it starts, and a resumed run starts one more of them.
    generator = torch.Generator().manual_seed(seed)
    yield from DataLoader(
        steps, batch_size=None, shuffle=False, num_workers=workers, worker_init_fn=_one_thread, generator=generator
    )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
