# SPDX-License-Identifier: Apache-2.0
"""A batch computed in parts: by several processes at once (ranks), or by one process, part after part.

What divides by a count, divides by the mean count of all parts; then the mean of the parts' losses is the loss of the
whole batch, and so are their gradients. What draws at random draws by step and rank.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

Value = TypeVar('Value')


def rank_and_world() -> tuple[int, int]:
    """Number of this process, and how many train together; (0, 1) for one alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean of a tensor that every rank has in the same shape; no gradient flows through it."""
    _, world = rank_and_world()
    if world == 1:
        return values
    total = values.detach().to(_device(), copy=True)
    distributed.all_reduce(total)
    return (total / world).to(values.device)


def largest_over_ranks(value: int) -> int:
    """The largest of the ranks' values."""
    _, world = rank_and_world()
    if world == 1:
        return value
    largest = torch.tensor(value, device=_device())
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)


def from_first_rank(make: Callable[[], Value]) -> Value:
    """Let the first rank make a value and all ranks have it; the others wait."""
    rank, world = rank_and_world()
    if world == 1:
        return make()
    box: list[Any] = [make() if rank == 0 else None]
    distributed.broadcast_object_list(box)
    value: Value = box[0]
    return value


def _device() -> torch.device:
    """Where the ranks' backend takes its tensors."""
    return (
        torch.device('cuda', torch.cuda.current_device())
        if distributed.get_backend() == 'nccl'
        else torch.device('cpu')
    )


def seed_step(seed: int, step: int) -> None:
    """Seed all generators for one step of one process: a run needs no random state to go on with its next step."""
    entropy = np.random.SeedSequence([seed, step, rank_and_world()[0]]).generate_state(3)
    torch.manual_seed(int(entropy[0]))
    np.random.seed(int(entropy[1]))
    random.seed(int(entropy[2]))


class CountLedger:
    """The counts of the parts that one process computes one after another.

    A first pass over all parts notes them, a second one divides by their means; ``start_part`` begins each part.
    """

    def __init__(self) -> None:
        self._noted: list[list[Tensor]] = []
        self._place: int | None = None

    def start_part(self, note: bool) -> None:
        """Begin a part of the first pass, which notes counts, or of the second, which reads their means."""
        self._place = None if note else 0
        if note:
            self._noted.append([])

    @property
    def is_empty(self) -> bool:
        """Whether no part has noted anything so far."""
        return not any(self._noted)

    def pass_on(self, counts: Tensor) -> Tensor:
        """Note counts and return them, or return the mean of what all parts noted at this place."""
        if self._place is None:
            self._noted[-1].append(counts)
            return counts
        place, self._place = self._place, self._place + 1
        return torch.stack([part[place] for part in self._noted]).mean(0)


_ledger: CountLedger | None = None


@contextmanager
def counted_by(ledger: CountLedger) -> Iterator[None]:
    """Losses inside tell their counts to a ledger."""
    global _ledger
    _ledger = ledger
    try:
        yield
    finally:
        _ledger = None


def mean_counts(counts: Tensor) -> Tensor:
    """The mean of counts over all parts of the batch, 1 where all are zero: what a loss divides its sum by.

    Every part must ask for the same counts in the same order, whatever it holds; else ranks would wait for each other.
    """
    counts = counts.detach().float()
    mean = mean_over_ranks(counts if _ledger is None else _ledger.pass_on(counts))
    return torch.where(mean > 0, mean, 1)
