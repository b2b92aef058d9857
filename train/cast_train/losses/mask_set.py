# SPDX-License-Identifier: Apache-2.0
"""The mask set loss of Mask2Former: match predictions to targets one to one, then class, BCE, Dice, and here a box.

Weights 2, 5, 5, no-object weight 0.1, every decoder level alike, as CAST's supervised loss has them. The box terms (L1
and generalised IoU, as in DETR) are ours: our decoder bounds each mask by its box.

What a picture does not label is unknown. An unmatched query is therefore asked not to be of a class whose objects and
regions are all labelled, and to be whatever it likes of the others: its loss is −log of the summed probability of the
classes that it may be, no object among them. With full labels only no object is left. Pictures without a semantic map
have masks of things alone (a detector's answer, COCO instances), so that what is not labelled may be any stuff: no
thing, then. Where objects of a class are not all labelled (people in Penn-Fudan, the small ones), it may be one of
those as well, and with nothing complete it has no loss, except on a labelled object: a query that lies on one by half
or more is not another one of that class, or twice the same person would never be unlearned there. This rule goes by
classes and not by places because a query is about one object, wherever it looks: only its class can be right or wrong.

A mask has no loss at pixels that may or may not belong to it (``Targets.unsure``), and a box none where such pixels
could move it. Matching, which no gradient passes, takes them for outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou_loss

from cast_train.data.augment import Targets
from cast_train.losses.points import boxes_of, coarse_masks, loss_points, random_points, read_at, read_nearest
from cast_train.models.queries import QueryPrediction
from cast_train.ranks import mean_counts
from cast_train.settings import Positive, Settings, Weight

# Mask logits, of 4 bytes, that matching looks at in one go.
CACHED = 1 << 19


class MaskSetWeights(Settings):
    """Weights of the terms, in matching and loss alike; ``points`` is the number P at which a mask is judged."""

    classification: Weight = 2.0
    bce: Weight = 5.0
    dice: Weight = 5.0
    box: Weight = 2.0
    no_object: Weight = 0.1
    points: Positive = 512


def mask_cost(logits: Tensor, targets: Tensor, bce: float, dice: float) -> Tensor:
    """Weighted sum of two costs of every pair of …×N×P logits and …×M×P targets in 0…1, as …×N×M.

    Mean binary cross-entropy, and 1 − (2Σpg + 1)/(Σp + Σg + 1).
    """
    p, columns = logits.sigmoid(), targets.mT
    overlap = 1 - (2 * p @ columns + 1) / (p.sum(-1)[..., :, None] + targets.sum(-1)[..., None, :] + 1)
    # −log(1−p) = softplus(x) and −log p = softplus(x) − x, so one softplus serves both halves.
    entropy = (_softplus_sum(logits, p)[..., :, None] - logits @ columns) / logits.shape[-1]
    return bce * entropy + dice * overlap


def _softplus_sum(logits: Tensor, p: Tensor) -> Tensor:
    """Sum of log(1 + exp(x)) over the last axis: Σ max(x, 0) − log Π sigmoid(|x|), which saves most of the logarithms.

    Each factor is in 0.5…1, so products of 64 stay far from the smallest float. ``p`` is overwritten.
    """
    factors = p.sub_(0.5).abs_().add_(0.5)
    for _ in range(6):
        if factors.shape[-1] % 2:
            break
        first, second = factors.chunk(2, -1)
        factors = first * second
    return logits.relu().sum(-1) - factors.log().sum(-1)


def box_cost(boxes: Tensor, targets: Tensor) -> Tensor:
    """L1 distance of centre and size ×2.5, and one minus generalised IoU, of every pair: …×N×4 and …×M×4, as …×N×M.

    Args:
        boxes: …×N×4, centre x, y, width, height in 0…1.
        targets: …×M×4, x0 y0 x1 y1 in 0…1.
    """
    distance = torch.cdist(boxes, box_convert(targets, 'xyxy', 'cxcywh'), p=1)
    found, wanted = box_convert(boxes, 'cxcywh', 'xyxy')[..., :, None, :], targets[..., None, :, :]
    shared = _area(torch.maximum(found[..., :2], wanted[..., :2]), torch.minimum(found[..., 2:], wanted[..., 2:]))
    hull = _area(torch.minimum(found[..., :2], wanted[..., :2]), torch.maximum(found[..., 2:], wanted[..., 2:]))
    union = _area(found[..., :2], found[..., 2:]) + _area(wanted[..., :2], wanted[..., 2:]) - shared
    return 2.5 * distance + 1 - (shared / union - (hull - union) / hull)


def _area(low: Tensor, high: Tensor) -> Tensor:
    size = (high - low).clamp(min=0)
    return size[..., 0] * size[..., 1]


Grid = tuple[int, int]


class _Wanted(NamedTuple):
    """Targets of the P pictures that have any, in one row each, T long; what lies beyond a picture's count is void.

    Attributes:
        pictures: (P,) indices within the batch.
        counts: targets of each picture.
        seeds: of what is drawn for each picture.
        masks: M×H×W bool, those of all pictures one after another.
        unsure: the same of ``Targets.unsure``; None where no picture has any.
        boxes: M×4 of them, x0 y0 x1 y1 in 0…1.
        labels: (M,) class ids of them.
        coarse: for each grid of logits, the P×T×h·w masks averaged to it.
        row_labels, row_boxes: P×T and P×T×4.
    """

    pictures: Tensor
    counts: list[int]
    seeds: list[int | None]
    masks: Tensor
    unsure: Tensor | None
    boxes: Tensor
    labels: Tensor
    coarse: dict[Grid, Tensor]
    row_labels: Tensor
    row_boxes: Tensor


def _collect(targets: Sequence[Targets], levels: Sequence[QueryPrediction]) -> _Wanted | None:
    pictures = [index for index, target in enumerate(targets) if target.masks is not None]
    if not pictures:
        return None
    every_mask, every_label = zip(*((targets[index].masks, targets[index].labels) for index in pictures), strict=True)
    counts = [len(part) for part in every_mask]
    masks, labels = torch.cat(every_mask), torch.cat(every_label)
    boxes = boxes_of(masks)
    # Made on the CPU and moved once: as CPU indices they would be copied, and waited for, at every use.
    rows = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(masks.device)
    places = torch.cat([torch.arange(count) for count in counts]).to(masks.device)
    shape = (len(counts), max(counts))
    row_labels = labels.new_zeros(shape)
    row_boxes = boxes.new_tensor([0.0, 0.0, 1.0, 1.0]).repeat(*shape, 1)
    row_labels[rows, places], row_boxes[rows, places] = labels, boxes
    grids = {_grid(level) for level in levels}
    coarse = {}
    for height, width in grids:
        coarse[height, width] = boxes.new_zeros(*shape, height * width)
        coarse[height, width][rows, places] = coarse_masks(masks, height, width).flatten(1)
    seeds = [targets[index].seed for index in pictures]
    indices = torch.tensor(pictures, device=masks.device)
    unsure = None
    if any(targets[index].unsure is not None for index in pictures):
        planes = [(targets[index].unsure, part) for index, part in zip(pictures, every_mask, strict=True)]
        unsure = torch.cat([torch.zeros_like(part) if plane is None else plane for plane, part in planes])
    return _Wanted(indices, counts, seeds, masks, unsure, boxes, labels, coarse, row_labels, row_boxes)


def _grid(level: QueryPrediction) -> Grid:
    return level.mask_logits.shape[-2], level.mask_logits.shape[-1]


def match(
    prediction: QueryPrediction, targets: Sequence[Targets], weights: MaskSetWeights
) -> list[tuple[Tensor, Tensor]]:
    """Hungarian matching of B pictures: rows of the predictions and of the targets, in pairs, for each with masks."""
    wanted = _collect(targets, [prediction])
    return [] if wanted is None else _match(prediction, wanted, weights)


@torch.no_grad()
def _match(prediction: QueryPrediction, wanted: _Wanted, weights: MaskSetWeights) -> list[tuple[Tensor, Tensor]]:
    class_logits, mask_logits, boxes = (_pictures(part, wanted.pictures).float() for part in prediction)
    chances = class_logits.softmax(-1)
    chosen = wanted.row_labels[:, None].expand(-1, chances.shape[1], -1)
    cost = weights.box * box_cost(boxes, wanted.row_boxes) - weights.classification * chances.gather(2, chosen)
    # Masks of some pictures at a time: what they take stays in the cache, a whole batch would not.
    logits = mask_logits.flatten(2)
    together = max(1, CACHED // logits[0].numel())
    parts = (part.split(together) for part in (cost, logits, wanted.coarse[_grid(prediction)]))
    for found, own, coarse in zip(*parts, strict=True):
        found += mask_cost(own, coarse, weights.bce, weights.dice)
    pairs = [
        linear_sum_assignment(of_picture[:, :count])
        for of_picture, count in zip(cost.nan_to_num(1e6, 1e6, -1e6).cpu().numpy(), wanted.counts, strict=True)
    ]
    device = cost.device
    return [(torch.as_tensor(rows, device=device), torch.as_tensor(columns, device=device)) for rows, columns in pairs]


def mask_set_loss(
    levels: Sequence[QueryPrediction],
    targets: Sequence[Targets],
    weights: MaskSetWeights,
    thing_ids: Sequence[int],
) -> dict[str, Tensor]:
    """Sum over decoder levels of the set loss over B pictures; pictures without mask labels are left out.

    The masks of a level are judged at sampled points (``losses.points``) with targets read at full resolution;
    matching compares whole masks on the coarse grid, where a picture has few enough cells to use all of them.

    Args:
        levels: predictions of the decoder.
        targets: of the B pictures.
        weights: of the terms.
        thing_ids: class ids that can be counted; all others may hide in what a picture without semantic map leaves out.

    Returns:
        Weighted terms ``classification``, ``bce``, ``dice`` and ``box``.
    """
    total = {name: levels[-1].class_logits.new_zeros(()).float() for name in ('classification', 'bce', 'dice', 'box')}
    queries, no_object = levels[-1].class_logits.shape[1], levels[-1].class_logits.shape[2] - 1
    wanted = _collect(targets, levels)
    counts = [] if wanted is None else wanted.counts
    matched = sum(min(queries, count) for count in counts)
    labelled = [target for target in targets if target.masks is not None]
    possible = [_possible_classes(target, thing_ids, no_object) for target in labelled]
    judged = [count for count, classes in zip(counts, possible, strict=True) if len(classes) <= no_object]
    unmatched = queries * len(judged) - sum(min(queries, count) for count in judged)
    device = levels[-1].class_logits.device
    masks, votes = mean_counts(torch.tensor([sum(counts), matched + weights.no_object * unmatched])).to(device)
    if wanted is None:
        return total
    offsets = torch.tensor([0, *wanted.counts[:-1]]).cumsum(0).to(device)
    partial = any(target.complete is not None for target in labelled)
    certain = None
    if wanted.unsure is not None:
        certain = (boxes_of(wanted.masks | wanted.unsure) == wanted.boxes).all(1)
    for number, level in enumerate(levels):
        pairs = _match(level, wanted, weights)
        per_picture = [len(rows) for rows, _ in pairs]
        places = torch.arange(len(pairs)).repeat_interleave(torch.tensor(per_picture)).to(device)
        rows = torch.cat([rows for rows, _ in pairs])
        order = torch.cat([columns for _, columns in pairs]) + offsets[places]
        logits = _pictures(level.class_logits, wanted.pictures).float()
        classes = torch.full(logits.shape[:2], no_object, device=logits.device)
        classes[places, rows] = wanted.labels[order]
        excluded = _on_labelled_objects(level, wanted, labelled, thing_ids) if partial else None
        classification = _class_losses(logits, classes, possible, excluded, weights.no_object).sum() / votes
        total['classification'] = total['classification'] + weights.classification * classification
        if not matched:
            continue
        # One gather for all pictures: one by one, the backward pass would fill a whole batch of zeros for each.
        found = (wanted.pictures[places], rows)
        predicted, boxes = level.mask_logits[found].float(), wanted.boxes[order]
        draws = random_points(wanted.seeds, per_picture, number, weights.points)
        points = loss_points(predicted, boxes, weights.points, draws)
        known = None if wanted.unsure is None else 1 - read_nearest(wanted.unsure, order, points)
        bce, dice = _mask_losses(read_at(predicted, points), read_nearest(wanted.masks, order, points), known)
        total['bce'] = total['bce'] + weights.bce * bce.sum() / masks
        total['dice'] = total['dice'] + weights.dice * dice.sum() / masks
        apart = _box_losses(level.boxes[found].float(), boxes)
        if certain is not None:
            apart = torch.where(certain[order], apart, 0.0)
        total['box'] = total['box'] + weights.box * apart.sum() / masks
    return total


def _pictures(values: Tensor, pictures: Tensor) -> Tensor:
    """Those pictures of a batch; the batch itself, without a copy, where it is all of them."""
    return values if len(values) == len(pictures) else values[pictures]


def _mask_losses(logits: Tensor, targets: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """BCE and Dice (R,) of R×P logits; ``known`` is 1 where a point counts and 0 where it does not."""
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
    p = logits.sigmoid()
    if known is None:
        bce = bce.mean(1)
    else:
        bce = (bce * known).sum(1) / known.sum(1).clamp(min=1)
        p, targets = p * known, targets * known
    dice = 1 - (2 * (p * targets).sum(1) + 1) / (p.sum(1) + targets.sum(1) + 1)
    return bce, dice


def _box_losses(boxes: Tensor, targets: Tensor) -> Tensor:
    """``box_cost`` of matched rows."""
    distance = (boxes - box_convert(targets, 'xyxy', 'cxcywh')).abs().sum(1)
    losses: Tensor = 2.5 * distance + generalized_box_iou_loss(box_convert(boxes, 'cxcywh', 'xyxy'), targets)
    return losses


def _possible_classes(target: Targets, thing_ids: Sequence[int], no_object: int) -> tuple[int, ...]:
    """Classes that a query may be of without being wrong, although no label matches it; no object always is one."""
    known = set(thing_ids if target.complete is None else target.complete)
    if target.semantic is not None:
        hidden = {label for members in target.unions for label in members} if target.union_ids is not None else set()
        known |= set(range(no_object)) - set(thing_ids) - hidden
    return tuple(label for label in range(no_object + 1) if label not in known)


@torch.no_grad()
def _on_labelled_objects(
    level: QueryPrediction, wanted: _Wanted, labelled: Sequence[Targets], thing_ids: Sequence[int]
) -> Tensor:
    """P×N×(C+1) bool: in a partial picture, half of a query's mask or more lies on labelled objects of a class."""
    masks = (_pictures(level.mask_logits, wanted.pictures).flatten(2) > 0).float()
    objects = (wanted.coarse[_grid(level)] >= 0.5).float()
    of_class = F.one_hot(wanted.row_labels, level.class_logits.shape[-1]).float()
    is_thing = torch.isin(torch.arange(of_class.shape[-1]), torch.tensor(list(thing_ids))).to(of_class.device)
    partial = torch.tensor([target.complete is not None for target in labelled], device=of_class.device)
    covered = masks @ objects.mT @ (of_class * is_thing)
    return (covered > 0) & (covered >= masks.sum(-1, keepdim=True) / 2) & partial[:, None, None]


def _class_losses(
    logits: Tensor,
    wanted: Tensor,
    possible: Sequence[tuple[int, ...]],
    excluded: Tensor | None,
    no_object_weight: float,
) -> Tensor:
    """Weighted cross-entropies P×N of P×N×(C+1) logits; for no object, of all the classes that are as good as it.

    Args:
        logits: the last class is no object.
        wanted: P×N class ids.
        possible: of each picture, the classes that count together where no object is wanted.
        excluded: P×N×(C+1) bool, classes that do not for one query; None for none.
        no_object_weight: weight of that class; every other one counts 1.
    """
    no_object = logits.shape[-1] - 1
    shares = logits.log_softmax(-1)
    nothing = shares[..., no_object]
    for classes in sorted(set(possible) - {(no_object,)}):
        here = torch.tensor([own == classes for own in possible], device=logits.device)
        # The sum of all is one, but its rounded logarithm would have a gradient.
        among = torch.zeros_like(nothing) if len(classes) > no_object else shares[..., list(classes)].logsumexp(-1)
        nothing = torch.where(here[:, None], among, nothing)
    if excluded is not None:
        rows = torch.zeros(len(possible), no_object + 1, dtype=torch.bool)
        for row, classes in zip(rows, possible, strict=True):
            row[list(classes)] = True
        among = shares.masked_fill(excluded | ~rows.to(logits.device)[:, None], -torch.inf).logsumexp(-1)
        nothing = torch.where(excluded.any(-1), among, nothing)
    shares = torch.cat([shares[..., :no_object], nothing[..., None]], -1)
    balance = torch.where(wanted == no_object, no_object_weight, 1.0)
    return -balance * shares.gather(-1, wanted[..., None])[..., 0]
