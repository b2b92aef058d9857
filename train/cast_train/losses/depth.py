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
    return silog_losses(log_depth.flatten()[None], depth_m.flatten()[None], variance_focus)[0]


def silog_losses(log_depth: Tensor, depth_m: Tensor, variance_focus: float = 0.5) -> Tensor:
    """``silog_loss`` of each row of R×N, as (R,)."""
    valid = depth_m.isfinite() & (depth_m > 0)
    count = valid.sum(1).clamp(min=1)
    difference = torch.where(valid, depth_m.where(valid, 1.0).log() - log_depth, 0.0)
    spread = difference.square().sum(1) / count - variance_focus * (difference.sum(1) / count).square()
    # The guard keeps the gradient of the root finite where prediction and target agree.
    return torch.where(valid.any(1), spread.clamp(min=1e-8).sqrt(), 0.0)


def depth_loss(log_depth: Tensor, targets: Sequence[Targets]) -> Tensor:
    """SILog of B×h×w predictions, enlarged to the targets' size, over the pictures that have depth; else zero."""
    known = [index for index, target in enumerate(targets) if target.depth_m is not None]
    count = mean_counts(torch.tensor(float(len(known)), device=log_depth.device))
    if not known:
        return log_depth.sum() * 0
    depth_m = torch.stack([depth for target in targets if (depth := target.depth_m) is not None])
    predicted = log_depth if len(known) == len(log_depth) else log_depth[known]
    enlarged = F.interpolate(predicted[:, None].float(), size=depth_m.shape[1:], mode='bilinear', align_corners=False)
    return silog_losses(enlarged.flatten(1), depth_m.flatten(1)).sum() / count
