# SPDX-License-Identifier: Apache-2.0
"""The endless, seeded stream of training batches; step n is the same batch however the run got there."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from cast_train.data.augment import Augmentation, Targets, View, make_targets, make_view
from cast_train.data.sample import Dataset, Sample
from cast_train.data.strong import StrongViews, strong_view

# Sets the draws of strong views apart from those of the weak ones, so that asking for them changes nothing else.
STRONG_DRAWS = 1


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


@dataclass(frozen=True)
class Source:
    """Samples of which every batch takes ``count``; each of its epochs is a fresh permutation of all."""

    samples: Sequence[Sample]
    count: int


class _Steps(TorchDataset[Batch]):
    """Item n is the batch of step ``first + n``: a resumed run needs no sampler state, only its step number."""

    def __init__(
        self, sources: Sequence[Source], rules: ViewRules, seed: int, first: int, last: int, strong: StrongViews | None
    ) -> None:
        self._sources, self._rules, self._seed, self._strong = sources, rules, seed, strong
        self._first, self._last = first, last

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, index: int) -> Batch:
        step = self._first + index
        views: list[View] = []
        strong: list[Tensor] = []
        for sample, slot in self._slots(step):
            view = self._view(sample, [self._seed, step, slot])
            views.append(view)
            if self._strong is not None:
                strong.append(strong_view(view.image, self._strong, [self._seed, step, slot, STRONG_DRAWS]))
        return Batch(
            torch.stack([view.image for view in views]),
            [make_targets(view, self._rules.thing_ids) for view in views],
            labelled=self._sources[0].count,
            strong=torch.stack(strong) if strong else None,
        )

    def _slots(self, step: int) -> Iterator[tuple[Sample, int]]:
        """The samples of a step, source after source, each with its place in the batch."""
        slot = 0
        for number, source in enumerate(self._sources):
            for place in range(source.count):
                position = step * source.count + place
                yield source.samples[pick(position, len(source.samples), self._seed, number)], slot
                slot += 1

    def _view(self, sample: Sample, seed: list[int]) -> View:
        rules = self._rules
        return make_view(
            sample, rules.height, rules.width, rules.focal_reference_px, rules.cap_m, rules.augmentation, seed
        )


def pick(position: int, count: int, seed: int, source: int = 0) -> int:
    """Return which sample stands at ``position`` of a source's stream: each epoch is a fresh permutation of all."""
    epoch, offset = divmod(position, count)
    return int(np.random.default_rng([seed, epoch, source]).permutation(count)[offset])


def load_samples(datasets: Sequence[Dataset]) -> list[Sample]:
    """Read every sample once: street-sized sets fit in memory, and decoding each epoch anew would cost more."""
    return [dataset[index] for dataset in datasets for index in range(len(dataset))]


def batches(
    sources: Sequence[Source],
    rules: ViewRules,
    seed: int,
    first: int,
    last: int,
    workers: int,
    strong: StrongViews | None = None,
) -> Iterator[Batch]:
    """Yield the batches of steps ``first`` to ``last`` (exclusive), prepared by ``workers`` processes ahead of time.

    Args:
        sources: samples with true labels first, then those with pseudo-labels, if any.
        rules: of the views.
        seed: decides order and views.
        first: step of the first batch.
        last: step after the last batch.
        workers: processes; 0 prepares each batch when it is asked for.
        strong: also make strong views of this kind.
    """
    steps = _Steps(sources, rules, seed, first, last, strong)
    # A generator of its own: a loader draws a number when it starts, and a resumed run starts one more of them.
    generator = torch.Generator().manual_seed(seed)
    yield from DataLoader(
        steps, batch_size=None, shuffle=False, num_workers=workers, worker_init_fn=_start_worker, generator=generator
    )


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    # A signal to the whole group must not take the workers away from a run that is about to write its checkpoint.
    # They end with their parent.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
