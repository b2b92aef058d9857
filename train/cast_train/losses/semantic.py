# SPDX-License-Identifier: Apache-2.0
"""Semantic losses: on the map that the queries compose, and on the dense training aid."""

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
    count = mean_counts((wanted != UNLABELLED).sum())
    if all(target.pixel_weights is None for target in targets):
        return F.nll_loss(log_probabilities, wanted, ignore_index=UNLABELLED, reduction='sum') / count
    losses = F.nll_loss(log_probabilities, wanted, ignore_index=UNLABELLED, reduction='none')
    weights = [
        losses.new_ones(height, width)
        if target.pixel_weights is None
        else _at_size(target.pixel_weights, height, width)
        for target in targets
    ]
    return (losses * torch.stack(weights)).sum() / count


def _at_size(plane: Tensor, height: int, width: int) -> Tensor:
    small: Tensor = F.interpolate(plane[None, None].float(), size=(height, width), mode='nearest-exact')
    return small[0, 0]
