# SPDX-License-Identifier: Apache-2.0
"""What keeps a student honest on pictures without labels (DAFormer, MIC; papers.md §4.1), and depth from disparity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_train.data.augment import Targets
from cast_train.ranks import mean_counts

# A cell of the coarse level belongs to the things that fill at least this share of it.
THING_SHARE = 0.75


def confident_share(probabilities: Tensor, threshold: float) -> Tensor:
    """Share of the pixels of B×C×h×w class probabilities whose best one reaches ``threshold``: a weight in 0…1."""
    return (probabilities.amax(1) >= threshold).float().mean()


def hide_patches(images: Tensor, side: int, share: float, fill: Tensor, seeds: Sequence[int | None]) -> Tensor:
    """Cover random patches of ``side``×``side`` pixels of B×3×H×W pictures (masked image consistency).

    Args:
        images: any type.
        side: of a patch; those at the lower and right border may be cut.
        share: chance of each patch to be hidden.
        fill: (3,) colour of a hidden patch, the mean that the network subtracts: its input is then zero.
        seeds: of each picture.
    """
    height, width = images.shape[-2:]
    rows, columns = -(-height // side), -(-width // side)
    kept = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(0 if seed is None else seed)
        kept.append(torch.rand(rows, columns, generator=generator) >= share)
    visible = torch.stack(kept)[:, None].to(images.device)
    visible = visible.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :height, :width]
    return torch.where(visible, images, fill.to(images.dtype).view(1, 3, 1, 1))


def feature_distance(own: Tensor, anchor: Tensor, targets: Sequence[Targets], thing_ids: Sequence[int]) -> Tensor:
    """Mean Euclidean distance of B×K×h×w features to frozen ones, over cells that a thing fills; zero without any.

    Args:
        own: of the student's last encoder level.
        anchor: of the frozen encoder, same shape.
        targets: of the B pictures; those without a semantic map count for nothing.
        thing_ids: class ids of things.
    """
    height, width = own.shape[-2:]
    things = torch.tensor(list(thing_ids))
    shares = []
    for target in targets:
        if target.semantic is None:
            shares.append(own.new_zeros(height, width))
            continue
        filled = torch.isin(target.semantic, things.to(target.semantic.device)).float()
        shares.append(F.adaptive_avg_pool2d(filled[None], (height, width))[0])
    inside = torch.stack(shares) >= THING_SHARE
    distance = (own.float() - anchor.float()).square().sum(1).clamp(min=1e-12).sqrt()
    return torch.where(inside, distance, 0.0).sum() / mean_counts(inside.sum())


# Fewer pixels do not fix a scale and a shift.
LEAST_PIXELS = 16


def relative_depth_loss(log_depth: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Mean of ``affine_invariant_loss`` over the pictures with disparity, of B×h×w predictions; zero without any.

    Relative depth networks give disparity of unknown scale and shift (MiDaS, papers.md §4.4).
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
