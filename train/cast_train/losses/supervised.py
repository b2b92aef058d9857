# SPDX-License-Identifier: Apache-2.0
"""The supervised objective: every term that labels can teach, weighted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_ros.student import UNLABELLED
from cast_train.data.augment import Targets
from cast_train.losses.mask_set import MaskSetWeights, mask_set_loss
from cast_train.losses.points import boxes_of, coarse_masks
from cast_train.models import StudentOutput
from cast_train.models.queries import QueryPrediction, compose_semantic
from cast_train.ranks import mean_counts
from cast_train.settings import Weight

# Width of a target's bump in parts of its box; around the one cell that must be hot, near misses cost little.
BUMP = 0.12
SMALLEST_BUMP_CELLS = 0.6


def centre_loss(heat: Tensor, targets: Sequence[Targets], thing_ids: Sequence[int]) -> Tensor:
    """Penalty-reduced focal loss (CornerNet, CenterNet) of B×T×H×W logits, in the mean over the instances.

    Pictures without mask labels are left out.

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


def composed_semantic_loss(prediction: QueryPrediction, targets: Sequence[Targets]) -> Tensor:
    """Negative log-likelihood of the composed map, normalised over classes, at its own resolution."""
    scores = compose_semantic(prediction)
    log_share = (scores + 1e-6).log() - (scores.sum(1, keepdim=True) + 1e-5).log()
    return _nll(log_share, targets)


def dense_semantic_loss(logits: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Cross-entropy of B×C×h×w logits at their own resolution."""
    return _nll(logits.float().log_softmax(1), targets)


def _nll(log_probabilities: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Mean over labelled pixels, each times its weight; zero when no picture has a semantic label.

    Where a label stands for a union of classes, the loss is −log of the sum of their probabilities: it says that one of
    them is there, and nothing about which. A pixel without a label has no loss.
    """
    height, width = log_probabilities.shape[-2:]
    labels = []
    for target in targets:
        if target.semantic is None:
            labels.append(torch.full((height, width), UNLABELLED, device=log_probabilities.device))
        else:
            labels.append(_at_size(target.semantic, height, width).long())
    wanted = torch.stack(labels) if labels else log_probabilities.new_zeros(0, height, width, dtype=torch.int64)
    unions = _unions(targets, log_probabilities)
    known = (wanted != UNLABELLED).sum()
    count = mean_counts(known + torch.stack([where.sum() for where in unions.values()]).sum() if unions else known)
    if not unions and all(target.pixel_weights is None for target in targets):
        return F.nll_loss(log_probabilities, wanted, ignore_index=UNLABELLED, reduction='sum') / count
    losses = F.nll_loss(log_probabilities, wanted, ignore_index=UNLABELLED, reduction='none')
    for members, where in unions.items():
        losses = torch.where(where, -log_probabilities[:, list(members)].logsumexp(1), losses)
    weights = [
        losses.new_ones(height, width)
        if target.pixel_weights is None
        else _at_size(target.pixel_weights, height, width)
        for target in targets
    ]
    return (losses * torch.stack(weights)).sum() / count


def _unions(targets: Sequence[Targets], log_probabilities: Tensor) -> dict[tuple[int, ...], Tensor]:
    """B×h×w bool for each union of classes that a picture has: where the label is that union."""
    height, width = log_probabilities.shape[-2:]
    found: dict[tuple[int, ...], Tensor] = {}
    for picture, target in enumerate(targets):
        if target.union_ids is None:
            continue
        ids = _at_size(target.union_ids, height, width)
        for number, members in enumerate(target.unions, 1):
            nowhere = torch.zeros(len(targets), height, width, dtype=torch.bool, device=log_probabilities.device)
            found.setdefault(members, nowhere)[picture] |= ids == number
    return found


def _at_size(plane: Tensor, height: int, width: int) -> Tensor:
    small: Tensor = F.interpolate(plane[None, None].float(), size=(height, width), mode='nearest-exact')
    return small[0, 0]


def silog_loss(log_depth: Tensor, depth_m: Tensor, variance_focus: float = 0.5) -> Tensor:
    """Scale-invariant logarithmic loss of Eigen et al.: sqrt(mean g² − λ mean(g)²) with g = ln d* − ln d.

    Args:
        log_depth: …×N predicted natural logarithms of metres.
        depth_m: targets of the same shape; NaN is left out. Without any valid target the loss is zero.
        variance_focus: λ; 1 forgives every common scale, 0 forgives none.

    Returns:
        The loss of each row.
    """
    valid = depth_m.isfinite() & (depth_m > 0)
    count = valid.sum(-1).clamp(min=1)
    difference = torch.where(valid, depth_m.where(valid, 1.0).log() - log_depth, 0.0)
    spread = difference.square().sum(-1) / count - variance_focus * (difference.sum(-1) / count).square()
    # The guard keeps the gradient of the root finite where prediction and target agree.
    return torch.where(valid.any(-1), spread.clamp(min=1e-8).sqrt(), 0.0)


def depth_loss(log_depth: Tensor, targets: Sequence[Targets]) -> Tensor:
    """SILog of B×h×w predictions, enlarged to the targets' size, over the pictures that have depth; else zero."""
    known = [index for index, target in enumerate(targets) if target.depth_m is not None]
    count = mean_counts(torch.tensor(float(len(known)), device=log_depth.device))
    if not known:
        return log_depth.sum() * 0
    depth_m = torch.stack([depth for target in targets if (depth := target.depth_m) is not None])
    predicted = log_depth if len(known) == len(log_depth) else log_depth[known]
    enlarged = F.interpolate(predicted[:, None].float(), size=depth_m.shape[1:], mode='bilinear', align_corners=False)
    return silog_loss(enlarged.flatten(1), depth_m.flatten(1)).sum() / count


class LossSection(MaskSetWeights):
    """Weights of the losses; zero switches one off."""

    centre: Weight = 2.0
    depth: Weight = 5.0
    composed_semantic: Weight = 2.0
    dense_semantic: Weight = 2.0


def supervised_losses(
    output: StudentOutput, targets: Sequence[Targets], weights: LossSection, thing_ids: Sequence[int]
) -> dict[str, Tensor]:
    """All weighted terms over B pictures, in float32 even where the network ran in bfloat16."""
    terms: dict[str, Tensor] = {}
    with torch.autocast(output.log_depth.device.type, enabled=False):
        if output.heat is not None:
            terms |= mask_set_loss(output.levels, targets, weights, thing_ids)
            terms['centre'] = weights.centre * centre_loss(output.heat, targets, thing_ids)
        terms['depth'] = weights.depth * depth_loss(output.log_depth, targets)
        if output.levels:
            terms['composed_semantic'] = weights.composed_semantic * composed_semantic_loss(output.levels[-1], targets)
        if output.dense_logits is not None:
            terms['dense_semantic'] = weights.dense_semantic * dense_semantic_loss(output.dense_logits, targets)
    return terms
