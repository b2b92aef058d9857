# SPDX-License-Identifier: Apache-2.0
"""The heat map of thing centres: penalty-reduced focal loss (CornerNet, CenterNet)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_train.data.augment import Targets
from cast_train.losses.points import boxes_of, coarse_masks
from cast_train.ranks import mean_counts

# Width of a target's bump in parts of its box; around the one cell that must be hot, near misses cost little.
BUMP = 0.12
SMALLEST_BUMP_CELLS = 0.6


def centre_loss(heat: Tensor, targets: Sequence[Targets], thing_ids: Sequence[int]) -> Tensor:
    """Loss of B×T×H×W logits, averaged over the instances; pictures without mask labels are left out.

    Where a picture does not have all objects of a class, a cell of its channel may be the centre of one that nobody
    labelled. There only the cells count that a labelled object of the class fills, since their object is known: they
    have the one centre that is hot, and no second one.

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
    if any(targets[index].complete is not None for index in labelled):
        known = [_known_cells(targets[index], thing_ids, heat.shape[-2], heat.shape[-1]) for index in labelled]
        false = false * torch.stack(known).to(heat.device)
    return (missed + false).sum() / count


def _known_cells(target: Targets, thing_ids: Sequence[int], height: int, width: int) -> Tensor:
    """T×height×width bool: the cells of which one can say that an object of the class has its centre there or not."""
    complete = thing_ids if target.complete is None else target.complete
    known = torch.tensor([thing in complete for thing in thing_ids])[:, None, None].repeat(1, height, width)
    if target.masks is None or target.labels is None:
        return known
    for channel, thing in enumerate(thing_ids):
        own = target.masks[target.labels == thing]
        if thing not in complete and len(own):
            known[channel] = (coarse_masks(own, height, width).sum(0) >= 0.5).cpu()
    return known


def centre_map(target: Targets, thing_ids: Sequence[int], height: int, width: int) -> Tensor:
    """Return T×height×width in 0…1: exactly 1 in the cell of each instance's box centre, a Gaussian around it."""
    found = torch.zeros(len(thing_ids), height, width)
    if target.masks is None or target.labels is None or not len(target.labels):
        return found
    channels = torch.tensor([thing_ids.index(label) if label in thing_ids else -1 for label in target.labels.tolist()])
    counted = channels >= 0
    if not counted.any():
        return found
    channels = channels[counted]
    low, high = boxes_of(target.masks[counted.to(target.masks.device)]).cpu().split(2, dim=1)
    size = torch.tensor([width, height])
    middle, spread = (low + high) / 2 * size, (BUMP * (high - low) * size).clamp(min=SMALLEST_BUMP_CELLS)
    across = ((torch.arange(width) + 0.5 - middle[:, :1]) / spread[:, :1]).square()
    down = ((torch.arange(height) + 0.5 - middle[:, 1:]) / spread[:, 1:]).square()
    bumps = torch.exp(-(across[:, None] + down[:, :, None]) / 2).clamp(max=0.99)
    for channel in channels.unique().tolist():
        found[channel] = bumps[channels == channel].amax(0)
    cells = torch.minimum(middle.long(), size - 1)
    found[channels, cells[:, 1], cells[:, 0]] = 1
    return found
