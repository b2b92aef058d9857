# SPDX-License-Identifier: Apache-2.0
"""The endless, seeded stream of training batches; step n is the same batch however the run got there."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from cast_train.data.augment import Augmentation, Targets, View, make_targets, make_view
from cast_train.data.sample import Dataset, LazySamples, Sample
from cast_train.data.strong import StrongViews, strong_view
from cast_train.errors import RecipeError
from cast_train.ranks import rank_and_world

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

    def __len__(self) -> int:
        return len(self.images)

    def parts(self, count: int) -> list[Batch]:
        """Cut into ``count`` batches with equal numbers of both kinds of rows."""
        kinds = (range(self.labelled), range(self.labelled, len(self.targets)))
        if any(len(rows) % count for rows in kinds):
            raise RecipeError(
                f'{len(kinds[0])} labelled and {len(kinds[1])} pseudo-labelled pictures cannot be shared by {count} '
                f'parts evenly; choose multiples'
            )
        return [self._rows([row for rows in kinds for row in _share(rows, number, count)]) for number in range(count)]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        return Batch(
            self.images.to(device, non_blocking=True),
            [
                replace(
                    target,
                    masks=move(target.masks),
                    labels=move(target.labels),
                    semantic=move(target.semantic),
                    depth_m=move(target.depth_m),
                    disparity=move(target.disparity),
                    segments=move(target.segments),
                    pixel_weights=move(target.pixel_weights),
                    endless=move(target.endless),
                    union_ids=move(target.union_ids),
                    unsure=move(target.unsure),
                )
                for target in self.targets
            ],
            self.labelled,
            move(self.strong),
        )

    def _rows(self, rows: list[int]) -> Batch:
        return Batch(
            self.images[rows],
            [self.targets[row] for row in rows],
            sum(row < self.labelled for row in rows),
            None if self.strong is None else self.strong[rows],
        )


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
    """Samples of which every batch takes ``count``, over all ranks; an epoch is a fresh permutation of all.

    With ``chances`` (one for each sample, adding up to one) every place of the stream draws a sample by them instead.
    """

    samples: Sequence[Sample]
    count: int
    chances: npt.NDArray[np.float64] | None = None


class _Steps(TorchDataset[Batch]):
    """Item n is the batch of step ``first + n``: a resumed run needs no sampler state, only its step number."""

    def __init__(
        self, sources: Sequence[Source], rules: ViewRules, seed: int, first: int, last: int, strong: StrongViews | None
    ) -> None:
        self._sources, self._rules, self._seed, self._strong = sources, rules, seed, strong
        self._first, self._last = first, last
        self._rank, self._world = rank_and_world()
        if any(source.count % self._world for source in sources):
            raise RecipeError(
                f'a batch of {" + ".join(str(source.count) for source in sources)} pictures cannot be shared by '
                f'{self._world} processes evenly; choose multiples'
            )

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, index: int) -> Batch:
        step = self._first + index
        views: list[View] = []
        targets: list[Targets] = []
        strong: list[Tensor] = []
        for sample, slot in self._slots(step):
            seed = [self._seed, step, slot]
            view = self._view(sample, seed)
            views.append(view)
            targets.append(replace(make_targets(view, self._rules.thing_ids), seed=_one_number(seed)))
            if self._strong is not None:
                strong.append(strong_view(view.image, self._strong, [*seed, STRONG_DRAWS]))
        return Batch(
            torch.stack([view.image for view in views]),
            targets,
            labelled=self._sources[0].count // self._world,
            strong=torch.stack(strong) if strong else None,
        )

    def _slots(self, step: int) -> Iterator[tuple[Sample, int]]:
        """This rank's samples of a step, source after source, each with its place in the batch of all ranks."""
        first_slot = 0
        for number, source in enumerate(self._sources):
            for place in _share(range(source.count), self._rank, self._world):
                position = step * source.count + place
                yield source.samples[self._pick(source, position, number)], first_slot + place
            first_slot += source.count

    def _pick(self, source: Source, position: int, number: int) -> int:
        if source.chances is None:
            return pick(position, len(source.samples), self._seed, number)
        return draw(position, source.chances, self._seed, number)

    def _view(self, sample: Sample, seed: list[int]) -> View:
        rules = self._rules
        return make_view(
            sample, rules.height, rules.width, rules.focal_reference_px, rules.cap_m, rules.augmentation, seed
        )


def _share(places: range, number: int, count: int) -> range:
    """One of ``count`` equal blocks."""
    each = len(places) // count
    return places[number * each : (number + 1) * each]


def _one_number(seed: list[int]) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def pick(position: int, count: int, seed: int, source: int = 0) -> int:
    """Return which sample stands at ``position`` of a source's stream: each epoch is a fresh permutation of all."""
    epoch, offset = divmod(position, count)
    return int(_order(seed, epoch, source, count)[offset])


def draw(position: int, chances: npt.NDArray[np.float64], seed: int, source: int = 0) -> int:
    """Return which sample stands at ``position`` of a stream where each is drawn by its chance."""
    chance = np.random.default_rng([seed, position, source]).random()
    return min(int(np.searchsorted(np.cumsum(chances), chance, side='right')), len(chances) - 1)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, source: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, source]).permutation(count)


def read_samples(datasets: Sequence[Dataset], in_memory: bool) -> Sequence[Sample]:
    """The samples of data sets, one after the other: all read now, or each when it is asked for."""
    return load_samples(datasets) if in_memory else LazySamples(datasets)


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

    Where several processes train together, each gets its block of every source: together they see the very batch that
    one process alone would see.

    Args:
        sources: samples with true labels first, then those with pseudo-labels, if any.
        rules: of the views.
        seed: decides order and views.
        first: step of the first batch.
        last: step after the last batch.
        workers: processes; 0 prepares each batch when it is asked for.
        strong: also make strong views of this kind.

    Raises:
        RecipeError: the processes cannot share a batch evenly.
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
