# SPDX-License-Identifier: Apache-2.0
"""What keeps a student honest on pictures without labels (DAFormer, MIC; papers.md §4.1)."""

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
