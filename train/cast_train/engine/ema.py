# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar('Network', bound=nn.Module)


class MovingAverage(Generic[Network]):
    """θ_ema ← a·θ_ema + (1−a)·θ with a = decay; at first, if it warms up, a = 1 − 1/(n+1), which makes a plain mean.

    Floating-point buffers (batch-norm statistics) are averaged too, so that they fit the averaged weights.

    Args:
        network: the average starts as a frozen copy of it.
        decay: 0…1; None averages nothing, and the average is the network itself.
        warm_up: see above.
    """

    def __init__(self, network: Network, decay: float | None, warm_up: bool = True) -> None:
        self.network = network if decay is None else copy.deepcopy(network).eval().requires_grad_(False)
        self.updates = 0
        self._decay, self._warm_up = decay, warm_up

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take one more set of weights into the average."""
        self.updates += 1
        if self._decay is None:
            return
        decay = min(self._decay, 1 - 1 / (self.updates + 1)) if self._warm_up else self._decay
        averages: list[Tensor] = []
        currents: list[Tensor] = []
        for average, current in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if average.is_floating_point():
                averages.append(average)
                currents.append(current)
            else:
                average.copy_(current)
        torch._foreach_lerp_(averages, currents, 1 - decay)
