# SPDX-License-Identifier: Apache-2.0
"""Batch norm over all ranks, on any device: torch's own (SyncBatchNorm) needs CUDA."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from cast_train.ranks import rank_and_world


class _SumOverRanks(torch.autograd.Function):
    """Every rank gets the sum, and what it gives back as gradient counts for every rank's share."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


class RankBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of all ranks, followed by whatever the replaced norm had built in.

    Every rank must have as many pictures, of the same size. State as in ``nn.BatchNorm2d``.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, device=norm.weight.device, dtype=norm.weight.dtype)
        self.load_state_dict(norm.state_dict())
        # timm's norm has dropout and activation built in.
        self.after = nn.Sequential(*(getattr(norm, name) for name in ('drop', 'act') if hasattr(norm, name)))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise B×C×H×W."""
        rank, world = rank_and_world()
        mean, variance = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        if not self.training or world == 1:
            normalised = F.batch_norm(
                x, mean, variance, self.weight, self.bias, self.training, self.momentum or 0.0, self.eps
            )
            return cast(Tensor, self.after(normalised))
        values = x.to(self.weight.dtype)  # bfloat16 would lose the moments
        own = torch.stack([values.mean((0, 2, 3)), values.var((0, 2, 3), unbiased=False)])
        # A sum of rows that are zero but for the own one gathers all ranks' moments, and hands gradients back to them.
        rows = torch.stack([own if index == rank else torch.zeros_like(own) for index in range(world)])
        gathered = cast(Tensor, _SumOverRanks.apply(rows))
        batch_mean = gathered[:, 0].mean(0)
        batch_variance = (gathered[:, 1] + (gathered[:, 0] - batch_mean).square()).mean(0)
        with torch.no_grad():
            count = world * x.numel() / x.shape[1]
            momentum = self.momentum or 0.0
            mean.lerp_(batch_mean, momentum)
            variance.lerp_(batch_variance * count / (count - 1), momentum)
            # Somebody who wants no trace of a batch puts None here (``methods.cast.pixel_contrast.encode_strong``).
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(batch_variance + self.eps)
        shift = self.bias - batch_mean * scale
        normalised = (values * scale[:, None, None] + shift[:, None, None]).to(x.dtype)
        return cast(Tensor, self.after(normalised))


def share_norms(network: nn.Module) -> None:
    """Replace every batch norm inside a network by one over all ranks; names in its state stay the same."""
    for name, child in list(network.named_children()):
        if isinstance(child, nn.BatchNorm2d) and not isinstance(child, RankBatchNorm2d):
            setattr(network, name, RankBatchNorm2d(child))
        else:
            share_norms(child)
