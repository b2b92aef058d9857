# SPDX-License-Identifier: Apache-2.0
"""Depth from disparity of unknown scale and shift, as relative depth networks give it (MiDaS, papers.md §4.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_train.data.augment import Targets
from cast_train.ranks import mean_counts

# Fewer pixels do not fix a scale and a shift.
LEAST_PIXELS = 16


def relative_depth_loss(log_depth: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Mean of ``affine_invariant_loss`` over the pictures with disparity, of B×h×w predictions; zero without any.

    The prediction's inverse depth is enlarged to the targets' size.
    """
    known = [index for index, target in enumerate(targets) if target.disparity is not None]
    count = mean_counts(torch.tensor(float(len(known)), device=log_depth.device))
    if not known:
        return log_depth.sum() * 0
    wanted = torch.stack([plane for target in targets if (plane := target.disparity) is not None])
    inverse = (-log_depth[known].float()).exp()[:, None]
    enlarged = F.interpolate(inverse, size=wanted.shape[1:], mode='bilinear', align_corners=False)[:, 0]
    losses = [affine_invariant_loss(own, disparity) for own, disparity in zip(enlarged, wanted, strict=True)]
    return torch.stack(losses).sum() / count


def affine_invariant_loss(inverse_depth: Tensor, disparity: Tensor) -> Tensor:
    """Mean absolute difference to the disparity after the scale and shift of the prediction that fit it best.

    Scale and shift solve the 2×2 normal equations of least squares and carry gradient. The disparity is divided by its
    mean absolute deviation first, so that every picture weighs alike, whatever its unit.

    Args:
        inverse_depth: predicted, any shape.
        disparity: of the same shape, NaN left out. Without spread, or with under ``LEAST_PIXELS`` pixels, the loss is
            zero: no scale could be found.
    """
    valid = disparity.isfinite()
    if int(valid.sum()) < LEAST_PIXELS:
        return inverse_depth.sum() * 0
    p, q = inverse_depth[valid], disparity[valid]
    q = q - q.median()
    spread = q.abs().mean()
    if not spread > 1e-9:
        return inverse_depth.sum() * 0
    q = q / spread
    centred = p - p.mean()
    scale = (centred * (q - q.mean())).mean() / centred.square().mean().clamp(min=1e-12)
    return (scale * centred + q.mean() - q).abs().mean()
