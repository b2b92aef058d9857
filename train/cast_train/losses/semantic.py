# SPDX-License-Identifier: Apache-2.0
"""Semantic losses: on the map that the queries compose, and on the dense training aid.

Where a label stands for a union of classes, the loss is −log of the sum of their probabilities: it says that one of
them is there, and nothing about which. A pixel without a label has no loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_ros.student import UNLABELLED
from cast_train.data.augment import Targets
from cast_train.models.queries import QueryPrediction, compose_semantic
from cast_train.ranks import mean_counts


def composed_semantic_loss(prediction: QueryPrediction, targets: Sequence[Targets]) -> Tensor:
    """Negative log-likelihood of the composed map, normalised over classes, at its own resolution."""
    scores = compose_semantic(prediction)
    log_share = (scores + 1e-6).log() - (scores.sum(1, keepdim=True) + 1e-5).log()
    return _nll(log_share, targets)


def dense_semantic_loss(logits: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Cross-entropy of B×C×h×w logits at their own resolution."""
    return _nll(logits.float().log_softmax(1), targets)


def _nll(log_probabilities: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Mean over labelled pixels, each times its weight; zero when no picture has a semantic label."""
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
