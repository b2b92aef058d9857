# SPDX-License-Identifier: Apache-2.0
"""The heat map of thing centres: penalty-reduced focal loss (CornerNet, CenterNet)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_train.data.augment import Targets
from cast_train.losses.points import boxes_of
from cast_train.ranks import mean_counts

# Width of a target's bump in parts of its box; around the one cell that must be hot, near misses cost little.
BUMP = 0.12
SMALLEST_BUMP_CELLS = 0.6


def centre_loss(heat: Tensor, targets: Sequence[Targets], thing_ids: Sequence[int]) -> Tensor:
    """Loss of B×T×H×W logits, averaged over the instances; pictures without mask labels are left out.

    Args:
        heat: one channel for each of ``thing_ids``, in that order.
        targets: labels of the B pictures.
        thing_ids: class ids of things.
    """
    labelled = [index for index, target in enumerate(targets) if target.masks is not None]
    if not thing_ids:
        return heat.sum() * 0
    maps = [centre_map(targets[index], thing_ids, heat.shape[-2], heat.shape[-1]) for index in labelled]
    wanted = torch.stack(maps).to(heat.device) if maps else heat.new_zeros(0, *heat.shape[1:])
    count = mean_counts((wanted == 1).sum())
    logits = heat[labelled].float()
    p, is_centre = logits.sigmoid(), wanted == 1
    missed = (1 - p).square() * F.softplus(-logits) * is_centre
    false = (1 - wanted) ** 4 * p.square() * F.softplus(logits) * ~is_centre
    return (missed + false).sum() / count


def centre_map(target: Targets, thing_ids: Sequence[int], height: int, width: int) -> Tensor:
    """Return T×height×width in 0…1: exactly 1 in the cell of each instance's box centre, a Gaussian around it."""
    found = torch.zeros(len(thing_ids), height, width)
    if target.masks is None or target.labels is None or not len(target.labels):
        return found
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    for label, (x0, y0, x1, y1) in zip(target.labels.tolist(), boxes_of(target.masks).tolist(), strict=True):
        if label not in thing_ids:
            continue
        x, y = (x0 + x1) / 2 * width, (y0 + y1) / 2 * height
        bump_x, bump_y = (max(SMALLEST_BUMP_CELLS, BUMP * size) for size in ((x1 - x0) * width, (y1 - y0) * height))
        bump = torch.exp(-((columns - x) / bump_x).square() / 2 - ((rows - y) / bump_y).square()[:, None] / 2)
        channel = found[list(thing_ids).index(label)]
        torch.maximum(channel, bump.clamp(max=0.99), out=channel)
        channel[min(int(y), height - 1), min(int(x), width - 1)] = 1
    return found
