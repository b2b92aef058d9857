# SPDX-License-Identifier: Apache-2.0
"""The mask set loss of Mask2Former: match predictions to targets one to one, then class, BCE and Dice.

Weights 2, 5, 5, no-object weight 0.1, every decoder level alike (CAST's L_sup, docs of the papers §1.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from cast_train.data.augment import Targets
from cast_train.losses.points import boxes_of, loss_points, read_at, read_nearest
from cast_train.models.heads import QueryPrediction
from cast_train.settings import Positive, Settings, Weight


class MaskSetWeights(Settings):
    """Weights of the terms, in matching and loss alike; ``points`` is the number P at which a mask is judged."""

    classification: Weight = 2.0
    bce: Weight = 5.0
    dice: Weight = 5.0
    no_object: Weight = 0.1
    points: Positive = 512


def bce_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy of every pair: N×P logits against M×P targets in 0…1, as N×M."""
    count = logits.shape[1]
    # −log(1−p) = softplus(x) and −log p = softplus(x) − x, so one softplus serves both halves.
    return (F.softplus(logits).sum(1)[:, None] - logits @ targets.T) / count


def dice_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """1 − (2Σpg + 1)/(Σp + Σg + 1) of every pair: N×P logits against M×P targets, as N×M."""
    p = logits.sigmoid()
    return 1 - (2 * p @ targets.T + 1) / (p.sum(1)[:, None] + targets.sum(1)[None] + 1)


def match(
    class_logits: Tensor, mask_logits: Tensor, labels: Tensor, coarse_masks: Tensor, weights: MaskSetWeights
) -> tuple[Tensor, Tensor]:
    """Hungarian matching for one picture.

    Args:
        class_logits: N×(C+1).
        mask_logits: N×h×w.
        labels: (M,) class ids of the targets.
        coarse_masks: M×h×w targets, averaged to the grid of the logits.
        weights: of the three costs.

    Returns:
        Rows of the predictions and of the targets, in pairs.
    """
    with torch.no_grad():
        logits, targets = mask_logits.flatten(1).float(), coarse_masks.flatten(1)
        cost = -weights.classification * class_logits.float().softmax(-1)[:, labels]
        cost = cost + weights.bce * bce_cost(logits, targets) + weights.dice * dice_cost(logits, targets)
        rows, columns = linear_sum_assignment(cost.nan_to_num(1e6, 1e6, -1e6).cpu().numpy())
    return torch.as_tensor(rows), torch.as_tensor(columns)


def mask_set_loss(
    levels: Sequence[QueryPrediction], targets: Sequence[Targets], weights: MaskSetWeights
) -> dict[str, Tensor]:
    """Sum over decoder levels of the set loss over B pictures; pictures without mask labels are left out.

    The masks of a level are judged at sampled points (``losses.points``) with targets read at full resolution;
    matching compares whole masks on the coarse grid, where a picture has few enough cells to use all of them.

    Returns:
        Weighted terms ``classification``, ``bce`` and ``dice``.
    """
    labelled = [index for index, target in enumerate(targets) if target.masks is not None]
    device = levels[-1].class_logits.device
    total = {name: torch.zeros((), device=device) for name in ('classification', 'bce', 'dice')}
    if not labelled:
        return total
    grid = (levels[-1].mask_logits.shape[-2], levels[-1].mask_logits.shape[-1])
    masks = [_masks(targets[index]) for index in labelled]
    coarse = [F.adaptive_avg_pool2d(mask.float(), grid) for mask in masks]
    every_mask = torch.cat(masks)
    boxes = boxes_of(every_mask)
    offsets = torch.tensor([0, *[len(mask) for mask in masks][:-1]]).cumsum(0)
    for level in levels:
        pairs = [
            match(level.class_logits[index], level.mask_logits[index], _labels(targets[index]), coarse[place], weights)
            for place, index in enumerate(labelled)
        ]
        total['classification'] = total['classification'] + _class_loss(level, targets, labelled, pairs, weights)
        # One gather for all pictures: one by one, the backward pass would fill a whole batch of zeros for each.
        pictures = torch.cat([torch.full_like(rows, index) for index, (rows, _) in zip(labelled, pairs, strict=True)])
        predicted = level.mask_logits[pictures, torch.cat([rows for rows, _ in pairs])].float()
        if not len(predicted):
            continue
        order = torch.cat([columns + offset for (_, columns), offset in zip(pairs, offsets, strict=True)])
        points = loss_points(predicted, boxes[order], weights.points)
        wanted = read_nearest(every_mask, order, points)
        bce, dice = _mask_losses(read_at(predicted, points), wanted)
        total['bce'] = total['bce'] + weights.bce * bce.sum() / len(every_mask)
        total['dice'] = total['dice'] + weights.dice * dice.sum() / len(every_mask)
    return total


def _mask_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction='none').mean(1)
    p = logits.sigmoid()
    dice = 1 - (2 * (p * targets).sum(1) + 1) / (p.sum(1) + targets.sum(1) + 1)
    return bce, dice


def _class_loss(
    level: QueryPrediction,
    targets: Sequence[Targets],
    labelled: list[int],
    pairs: list[tuple[Tensor, Tensor]],
    weights: MaskSetWeights,
) -> Tensor:
    no_object = level.class_logits.shape[-1] - 1
    wanted = torch.full((len(labelled), level.class_logits.shape[1]), no_object, device=level.class_logits.device)
    for place, (index, (rows, columns)) in enumerate(zip(labelled, pairs, strict=True)):
        wanted[place, rows] = _labels(targets[index])[columns]
    balance = torch.ones(no_object + 1, device=wanted.device)
    balance[no_object] = weights.no_object
    logits = level.class_logits[labelled].float()
    return weights.classification * F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), balance)


def _masks(target: Targets) -> Tensor:
    assert target.masks is not None
    return target.masks


def _labels(target: Targets) -> Tensor:
    assert target.labels is not None
    return target.labels
