# SPDX-License-Identifier: Apache-2.0
"""Depth losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_train.data.augment import Targets
from cast_train.ranks import mean_counts


def silog_loss(log_depth: Tensor, depth_m: Tensor, variance_focus: float = 0.5) -> Tensor:
    """Scale-invariant logarithmic loss of Eigen et al.: sqrt(mean g² − λ mean(g)²) with g = ln d* − ln d.

    Args:
        log_depth: predicted natural logarithms of metres, any shape.
        depth_m: targets of the same shape; NaN is left out. Without any valid target the loss is zero.
        variance_focus: λ; 1 forgives every common scale, 0 forgives none.
    """
    valid = depth_m.isfinite() & (depth_m > 0)
    if not valid.any():
        return log_depth.sum() * 0
    difference = depth_m[valid].log() - log_depth[valid]
    # The guard keeps the gradient of the root finite where prediction and target agree.
    return (difference.square().mean() - variance_focus * difference.mean().square()).clamp(min=1e-8).sqrt()


def depth_loss(log_depth: Tensor, targets: Sequence[Targets]) -> Tensor:
    """SILog of B×h×w predictions, enlarged to the targets' size, over the pictures that have depth; else zero."""
    losses = []
    for predicted, target in zip(log_depth, targets, strict=True):
        if target.depth_m is not None:
            shape = target.depth_m.shape
            enlarged = F.interpolate(predicted[None, None].float(), size=shape, mode='bilinear', align_corners=False)[
                0, 0
            ]
            losses.append(silog_loss(enlarged, target.depth_m))
    count = mean_counts(torch.tensor(float(len(losses)), device=log_depth.device))
    return torch.stack(losses).sum() / count if losses else log_depth.sum() * 0
