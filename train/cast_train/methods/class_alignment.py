# SPDX-License-Identifier: Apache-2.0
"""Distribution alignment (Berthelot et al., ReMixMatch, arXiv 1911.09785): classes are as frequent as in the source.

A teacher that learns from its own guesses can lose a class to another for good: at night, walls to vegetation. Where
both domains show the same kind of street, the classes' shares of the pixels are known, and hold it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cast_train.data.augment import Targets

# Of both averages of shares: about the last fifty batches count.
MOMENTUM = 0.02
# Rarer classes are left alone: the average of a few pixels says little, and errors would be large factors.
LEAST_SHARE = 0.01


class ClassAlignment(nn.Module):
    """Knows how frequent each class is in the source's labels and in what the teacher says of the target.

    Args:
        classes: how many.
        power: 1 aligns fully, less only partly.
    """

    source: Tensor
    target: Tensor
    seen: Tensor

    def __init__(self, classes: int, power: float) -> None:
        super().__init__()
        self._power = power
        self.register_buffer('source', torch.zeros(classes))
        self.register_buffer('target', torch.zeros(classes))
        self.register_buffer('seen', torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def look(self, shares: Tensor, labels: Sequence[Targets]) -> None:
        """Take a step's pictures into the averages.

        Args:
            shares: what the teacher says of the target's, B×C×h×w with sum 1 over C.
            labels: of the source's.
        """
        momentum = max(MOMENTUM, 1 / (int(self.seen) + 1))
        self.seen += 1
        self.source.lerp_(_frequencies(labels, len(self.source)).to(self.source.device), momentum)
        self.target.lerp_(shares.mean((0, 2, 3)), momentum)

    def forward(self, shares: Tensor) -> Tensor:
        """B×C×h×w shares, each class times its factor; their sums are no longer 1."""
        common = (self.source >= LEAST_SHARE) & (self.target >= LEAST_SHARE)
        factors = torch.where(common, self.source / self.target.clamp(min=LEAST_SHARE), 1.0) ** self._power
        return shares * factors[:, None, None]


def _frequencies(labels: Sequence[Targets], classes: int) -> Tensor:
    counts = torch.zeros(classes)
    for target in labels:
        if target.semantic is not None:
            known = target.semantic[target.semantic < classes]
            counts += torch.bincount(known.flatten(), minlength=classes)[:classes].cpu()
    return counts / counts.sum().clamp(min=1)
