# SPDX-License-Identifier: Apache-2.0
"""Which pixels an anchor is held against: the instance-aware, debiased sampler of CAST (papers.md §1.3).

A pixel is described by what the student's own prediction says about it. Two pixels that are described alike probably
belong to one instance and are rarely drawn as each other's negatives: the weight is max(0, 1 − <y, y'>).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_train.methods.cast.recipe import PixelContrast, SamplerName
from cast_train.models.queries import QueryPrediction

# The published code adds it to every weight, so that a candidate can always be drawn.
PUBLISHED_FLOOR = 1e-6


class PixelScores(NamedTuple):
    """Descriptions y of N cells in each of B pictures, without gradient; None where a sampler has no such part.

    Attributes:
        own: B×N×K. Query k of one picture has nothing to do with query k of another, so each picture has query axes
            of its own: across pictures these parts are orthogonal.
        shared: B×N×(C+1), which mean the same in every picture.
    """

    own: Tensor | None
    shared: Tensor | None


class Draw(NamedTuple):
    """Negatives of A anchors of one picture; indices count cells over the whole batch.

    Attributes:
        anchors: (A,) indices.
        candidates: (M,) indices.
        counts: A×M, how often each candidate was drawn.
    """

    anchors: Tensor
    candidates: Tensor
    counts: Tensor


def mask_probabilities(prediction: QueryPrediction, height: int, width: int) -> Tensor:
    """P_m: B×N×K mask probabilities (not normalised over queries), averaged over each of N = height·width cells."""
    probabilities = _exact(prediction.mask_logits).sigmoid()
    # Contiguous, since cells are picked one by one from here on.
    return F.interpolate(probabilities, size=(height, width), mode='area').flatten(2).transpose(1, 2).contiguous()


def pixel_scores(
    prediction: QueryPrediction, height: int, width: int, sampler: SamplerName, object_queries: bool
) -> PixelScores:
    """How a sampler describes the cells: by P_m (B×N×K), by P_c (B×K×(C+1)) and by what they say together.

    With ``object_queries`` P_m counts by the chance that the query is an object.
    """
    if sampler == 'uniform':
        return PixelScores(None, None)
    classes = _exact(prediction.class_logits).softmax(-1)
    if sampler == 'published':
        logits = F.interpolate(
            _exact(prediction.mask_logits), size=(height, width), mode='bilinear', align_corners=False
        ).flatten(2)
        return PixelScores(None, F.normalize(logits.softmax(1).transpose(1, 2) @ classes, p=1, dim=-1))
    masks = mask_probabilities(prediction, height, width)
    if object_queries:
        masks = masks * (1 - classes[..., -1])[:, None]
    if sampler == 'mask':
        return PixelScores(F.normalize(masks, dim=-1), None)
    if sampler == 'class':
        return PixelScores(None, F.normalize(masks @ classes, dim=-1))
    fused = F.normalize(torch.cat([masks, masks @ classes], -1), dim=-1)
    return PixelScores(fused[..., : masks.shape[-1]], fused[..., masks.shape[-1] :])


def _exact(values: Tensor) -> Tensor:
    """Detached, and in float32 at least: similarities near one would vanish in half precision."""
    return values.detach().to(torch.promote_types(values.dtype, torch.float32))


def debiased_weights(scores: PixelScores, picture: int, cells: Tensor, candidates: Tensor) -> Tensor:
    """max(0, 1 − <y, y'>) of A cells (0…N−1) of one picture and M candidates (0…B·N−1), as A×M."""
    part = scores.shared if scores.shared is not None else scores.own
    if part is None:
        return torch.ones(len(cells), len(candidates), device=cells.device)
    similarity = torch.zeros(len(cells), len(candidates), dtype=part.dtype, device=part.device)
    if scores.shared is not None:
        every = scores.shared.flatten(0, 1)
        similarity = scores.shared[picture].index_select(0, cells) @ every.index_select(0, candidates).T
    if scores.own is not None:
        in_picture = (candidates // part.shape[1] == picture).nonzero()[:, 0]
        own = scores.own[picture]
        similarity[:, in_picture] += own[cells] @ own[candidates[in_picture] % part.shape[1]].T
    return (1 - similarity).clamp_(min=0)


def systematic_counts(weights: Tensor, draws: int, start: Tensor) -> Tensor:
    """Draw from each row of A×M weights: how often each column came up, as A×M.

    Systematic sampling: draw r takes the column in which (r + start) / draws falls on the row's cumulated share. Each
    draw comes up with probability proportional to its weight, exactly; only the draws of one row are not independent,
    they spread more evenly. It costs one random number per row. A row of zeros draws nothing.

    Args:
        weights: not negative; NaN makes the row NaN.
        draws: R, for each row; more than there are columns repeats some.
        start: (A,) in 0…1, exclusive.
    """
    cumulated = weights.cumsum(1)
    total = cumulated[:, -1:].clone()
    # Times reciprocal first would let the last edge miss R by rounding.
    edges = cumulated.div_(total.masked_fill(total == 0, 1)).mul_(draws).sub_(start[:, None]).ceil_().clamp_(min=0)
    counts = edges.clone()
    counts[:, 1:] -= edges[:, :-1]
    return counts


def gumbel_counts(weights: Tensor, draws: int) -> Tensor:
    """Draw from each row of A×M weights without replacement (Gumbel-top-k): A×M of zeros and ones."""
    noise = -torch.empty_like(weights).exponential_().log()
    chosen = (weights.log() + noise).topk(min(draws, weights.shape[1]), dim=1).indices
    return torch.zeros_like(weights).scatter_(1, chosen, 1.0)


def draw_candidates(
    picture: int, pictures: int, cells: int, limit: int | None, same_image: float | None, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Choose M candidates of a picture's anchors uniformly without replacement.

    Returns:
        (M,) indices over the B·N cells; and (M,) factors of their weights, which give the picture's own candidates the
        share ``same_image`` of all, or None where every cell counts alike.
    """
    total, first = pictures * cells, picture * cells
    if same_image is None:
        return _some(total, limit, device), None
    wanted = total if limit is None else min(limit, total)
    own_count = cells if limit is None and same_image > 0 else min(cells, round(wanted * same_image))
    own = _some(cells, own_count, device) + first
    others = _some(total - cells, wanted - own_count, device)
    others = others + cells * (others >= first)
    factors = [
        torch.full((len(part),), share * (len(own) + len(others)) / max(1, len(part)), device=device)
        for part, share in ((own, same_image), (others, 1 - same_image))
    ]
    return torch.cat([own, others]), torch.cat(factors)


def _some(total: int, limit: int | None, device: torch.device) -> Tensor:
    if limit is None or limit >= total:
        return torch.arange(total, device=device)
    return torch.randperm(total, device=device)[:limit]


@torch.no_grad()
def draw_negatives(prediction: QueryPrediction, height: int, width: int, rules: PixelContrast) -> Iterator[Draw]:
    """Yield the negatives of every picture's anchors, at most ``rules.chunk`` anchors at a time."""
    scores = pixel_scores(prediction, height, width, rules.sampler, rules.object_queries)
    published = rules.sampler == 'published'
    pictures, cells = len(prediction.mask_logits), height * width
    device = prediction.mask_logits.device
    for picture in range(pictures):
        anchors = _some(cells, rules.anchors, device)
        candidates, factors = draw_candidates(
            picture, pictures, cells, rules.candidates, 0.0 if published else rules.same_image, device
        )
        if not len(candidates):
            continue
        column = torch.full((cells,), -1, device=device)
        own = (candidates // cells == picture).nonzero()[:, 0]
        column[candidates[own] % cells] = own
        starts = torch.rand(len(anchors), device=device)
        for chosen, start in zip(anchors.split(rules.chunk), starts.split(rules.chunk), strict=True):
            weights = debiased_weights(scores, picture, chosen, candidates)
            if published:
                yield Draw(
                    chosen + picture * cells, candidates, gumbel_counts(weights + PUBLISHED_FLOOR, rules.negatives)
                )
                continue
            if factors is not None:
                weights *= factors
            itself = (column[chosen] >= 0).nonzero()[:, 0]
            weights[itself, column[chosen[itself]]] = 0
            yield Draw(chosen + picture * cells, candidates, systematic_counts(weights, rules.negatives, start))
