# SPDX-License-Identifier: Apache-2.0
"""The mask set loss of Mask2Former: match predictions to targets one to one, then class, BCE, Dice, and here a box.

Weights 2, 5, 5, no-object weight 0.1, every decoder level alike, as CAST's supervised loss has them. The box terms (L1
and generalised IoU, as in DETR) are ours: our decoder bounds each mask by its box.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou, generalized_box_iou_loss

from cast_train.data.augment import Targets
from cast_train.losses.points import boxes_of, loss_points, read_at, read_nearest
from cast_train.models.queries import QueryPrediction
from cast_train.settings import Positive, Settings, Weight


class MaskSetWeights(Settings):
    """Weights of the terms, in matching and loss alike; ``points`` is the number P at which a mask is judged."""

    classification: Weight = 2.0
    bce: Weight = 5.0
    dice: Weight = 5.0
    box: Weight = 2.0
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


def box_cost(boxes: Tensor, targets: Tensor) -> Tensor:
    """L1 distance of centre and size ×2.5, and one minus generalised IoU, of every pair: N×4 against M×4, as N×M.

    Args:
        boxes: N×4, centre x, y, width, height in 0…1.
        targets: M×4, x0 y0 x1 y1 in 0…1.
    """
    distance = torch.cdist(boxes, box_convert(targets, 'xyxy', 'cxcywh'), p=1)
    overlap = generalized_box_iou(box_convert(boxes, 'cxcywh', 'xyxy'), targets)
    cost: Tensor = 2.5 * distance + 1 - overlap
    return cost


def match(
    prediction: QueryPrediction, labels: Tensor, coarse_masks: Tensor, boxes: Tensor, weights: MaskSetWeights
) -> tuple[Tensor, Tensor]:
    """Hungarian matching for one picture.

    Args:
        prediction: of this picture, without the batch axis.
        labels: (M,) class ids of the targets.
        coarse_masks: M×h×w targets, averaged to the grid of the logits.
        boxes: M×4 of the targets, x0 y0 x1 y1 in 0…1.
        weights: of the costs.

    Returns:
        Rows of the predictions and of the targets, in pairs.
    """
    with torch.no_grad():
        logits, targets = prediction.mask_logits.flatten(1).float(), coarse_masks.flatten(1)
        cost = -weights.classification * prediction.class_logits.float().softmax(-1)[:, labels]
        cost = cost + weights.bce * bce_cost(logits, targets) + weights.dice * dice_cost(logits, targets)
        cost = cost + weights.box * box_cost(prediction.boxes.float(), boxes)
        rows, columns = linear_sum_assignment(cost.nan_to_num(1e6, 1e6, -1e6).cpu().numpy())
    return torch.as_tensor(rows), torch.as_tensor(columns)


def mask_set_loss(
    levels: Sequence[QueryPrediction], targets: Sequence[Targets], weights: MaskSetWeights
) -> dict[str, Tensor]:
    """Sum over decoder levels of the set loss over B pictures; pictures without mask labels are left out.

    The masks of a level are judged at sampled points (``losses.points``) with targets read at full resolution;
    matching compares whole masks on the coarse grid, where a picture has few enough cells to use all of them.

    Returns:
        Weighted terms ``classification``, ``bce``, ``dice`` and ``box``.
    """
    labelled = [index for index, target in enumerate(targets) if target.masks is not None]
    device = levels[-1].class_logits.device
    total = {name: torch.zeros((), device=device) for name in ('classification', 'bce', 'dice', 'box')}
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
            match(
                QueryPrediction(*(part[index] for part in level)), _labels(targets[index]), coarse[place], own, weights
            )
            for place, (index, own) in enumerate(zip(labelled, boxes.split([len(mask) for mask in masks]), strict=True))
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
        found = level.boxes[pictures, torch.cat([rows for rows, _ in pairs])].float()
        total['box'] = total['box'] + weights.box * _box_losses(found, boxes[order]).sum() / len(every_mask)
    return total


def _mask_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction='none').mean(1)
    p = logits.sigmoid()
    dice = 1 - (2 * (p * targets).sum(1) + 1) / (p.sum(1) + targets.sum(1) + 1)
    return bce, dice


def _box_losses(boxes: Tensor, targets: Tensor) -> Tensor:
    """``box_cost`` of matched rows."""
    distance = (boxes - box_convert(targets, 'xyxy', 'cxcywh')).abs().sum(1)
    losses: Tensor = 2.5 * distance + generalized_box_iou_loss(box_convert(boxes, 'cxcywh', 'xyxy'), targets)
    return losses


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
