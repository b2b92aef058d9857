# SPDX-License-Identifier: Apache-2.0
"""CAST's pixel contrast: each cell of the weak view recognises itself in the strong one, among R negatives.

The paper's form is the default, the published code's variant is a sampler (papers.md §1.3). docs/losses.md has the
formulas, where they come from, and what each choice costs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cast_train.data.augment import Targets
from cast_train.methods.cast.recipe import PixelContrast
from cast_train.methods.cast.samplers import draw_negatives
from cast_train.models.queries import QueryPrediction
from cast_train.models.student import StudentNetwork
from cast_train.ranks import mean_counts

# Channels between the layers of a head, and the length D of an embedding.
HIDDEN, DIMENSION = 128, 128


class Projection(nn.Module):
    """Three 1×1 convolutions without biases, ReLU between them: the MLP of CAST (papers.md §1.2) at every cell.

    Args:
        inputs: channels of the feature map.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, HIDDEN, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN, HIDDEN, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN, DIMENSION, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map B×C×h×w to B×D×h×w of unit length in float32, under autocast too; a dead cell stays zero."""
        embedded = self.layers(features)
        return F.normalize(embedded.to(torch.promote_types(embedded.dtype, torch.float32)), dim=1)


class ContrastHead(nn.Module):
    """The embeddings of both views, with the gradient rules of CAST: the weak view learns, the strong one is a target.

    Args:
        inputs: channels of the feature map.
        published: embed the strong view with a copy that stays as it was at the start, which is what the second head of
            the published code amounts to. The paper's form shares one learned head.
    """

    def __init__(self, inputs: int, published: bool = False) -> None:
        super().__init__()
        self.projection = Projection(inputs)
        self.frozen = copy.deepcopy(self.projection).requires_grad_(False) if published else None

    def weak(self, features: Tensor) -> Tensor:
        """Embed B×C×h×w features of the weak view; the gradient reaches them and the head."""
        embedded: Tensor = self.projection(features)
        return embedded

    @torch.no_grad()
    def strong(self, features: Tensor) -> Tensor:
        """Embed B×C×h×w features of the strong view, without gradient."""
        head = self.projection if self.frozen is None else self.frozen
        embedded: Tensor = head(features)
        return embedded


@torch.no_grad()
def encode_strong(student: StudentNetwork, images: Tensor) -> list[Tensor]:
    """Backbone features of the strong view, without gradient and without a trace in the batch norms.

    The running means and variances are those of the pictures that a robot sees; a second pass over distorted ones must
    not shift them. The batch's own statistics normalise it while the student trains, as for the weak view.
    """
    norms = [module for module in student.backbone.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        return student.encode(images)
    finally:
        for norm, (momentum, tracked) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked


# What the published code takes off a negative's similarity / temperature before it cuts at zero.
PUBLISHED_HINGE = 0.5
UNKNOWN_SEGMENT = -1


class Curves(NamedTuple):
    """How well pixels are told apart; papers.md §1.3, the theory.

    Attributes:
        margin: mean distance to negatives minus mean distance to positives; a distance is 1 − cosine.
        false_negative_rate: share of the drawn negatives that are of the anchor's own segment; NaN without labels.
    """

    margin: float
    false_negative_rate: float


def pixel_contrast(
    weak: Tensor, strong: Tensor, prediction: QueryPrediction, progress: float, settings: PixelContrast
) -> Tensor:
    """L_pxl, not weighted: mean over anchors of −log(exp(s⁺) / (exp(s⁺) + Σ_r exp(s⁻_r))), s = <z, z'> / T.

    The gradient reaches ``weak`` alone, as anchors and as negatives; not ``strong``, and not the prediction. An anchor
    that finds no negative (nothing differs from it, or it is the only cell) is left out of the mean; without any
    anchor the loss is zero. A NaN in the embeddings or the prediction makes the loss NaN.

    Args:
        weak: B×D×h×w embeddings of unit length.
        strong: the same cells in the strong view.
        prediction: the student's final level for the weak view.
        progress: 0…1 of the training, for the temperature.
        settings: see there.
    """
    height, width = weak.shape[-2:]
    embeddings, targets = _cells(weak), _cells(strong.detach())
    with torch.no_grad(), torch.autocast(weak.device.type, enabled=False):
        temperature = settings.temperature(progress)
        hinge = PUBLISHED_HINGE if settings.sampler == 'published' else None
        z = embeddings.detach()
        loss, gradient, anchors = z.new_zeros(()), torch.zeros_like(z), z.new_zeros(())
        for draw in draw_negatives(prediction, height, width, settings):
            own, target = z.index_select(0, draw.anchors), targets.index_select(0, draw.anchors)
            others = z.index_select(0, draw.candidates)
            positive = (own * target).sum(1) / temperature
            negative = own @ others.T / temperature
            losses, by_positive, by_negative = cross_entropy_of_draws(positive, negative, draw.counts, hinge)
            loss += losses.sum()
            gradient.index_add_(0, draw.anchors, by_positive[:, None] * target + by_negative @ others)
            gradient.index_add_(0, draw.candidates, by_negative.T @ own)
            anchors += (draw.counts.sum(1) != 0).sum()
        share = 1 / mean_counts(anchors).to(z.dtype)
        loss, gradient = loss * share, gradient * (share / temperature)
    found: Tensor = _WithGradient.apply(embeddings, loss, gradient)
    return found


def cross_entropy_of_draws(
    positive: Tensor, negative: Tensor, counts: Tensor, hinge: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """−log(exp(s⁺) / (exp(s⁺) + Σ n·exp(s⁻))) of A anchors, and its derivatives by s⁺ (A,) and s⁻ (A×M).

    The sum of exponentials is taken relative to the largest one, as in logsumexp. Without a negative all is zero, up
    to rounding.

    Args:
        positive: (A,) s⁺.
        negative: A×M s⁻ of every candidate; overwritten.
        counts: A×M n, how often each candidate was drawn.
        hinge: a negative counts by max(s⁻ − hinge, 0); None counts it as it is.
    """
    beyond = None
    if hinge is not None:
        beyond = negative > hinge
        negative = negative.sub_(hinge).clamp_(min=0)
    top = torch.maximum(positive, negative.amax(1))
    shares = negative.sub_(top[:, None]).exp_().mul_(counts)
    own = (positive - top).exp()
    total = own + shares.sum(1)
    losses = top + total.log() - positive
    shares /= total[:, None]
    if beyond is not None:
        shares *= beyond
    return losses, own / total - 1, shares


class _WithGradient(torch.autograd.Function):
    """A value whose gradient was found on the way: no array of anchors × candidates has to wait for the backward."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, inputs: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return outer * gradient, None, None


@torch.no_grad()
def contrast_curves(
    weak: Tensor,
    strong: Tensor,
    prediction: QueryPrediction,
    targets: Sequence[Targets],
    thing_ids: Sequence[int],
    settings: PixelContrast,
) -> Curves:
    """Margin and false-negative rate of a batch; arguments as for ``pixel_contrast`` and ``segments_of``.

    It draws negatives of its own, and leaves the random generator as it was: to watch a run must not change it.
    """
    height, width = weak.shape[-2:]
    z, other_view = _cells(weak), _cells(strong)
    segments = segments_of(targets, height, width, thing_ids).flatten().to(z.device)
    near, far, drawn, anchors, false, judged = (torch.zeros((), dtype=torch.float64, device=z.device) for _ in range(6))
    with torch.random.fork_rng(), torch.autocast(weak.device.type, enabled=False):
        for draw in draw_negatives(prediction, height, width, settings):
            counts = draw.counts
            own = z[draw.anchors]
            anchors += len(own)
            near += (1 - (own * other_view[draw.anchors]).sum(1)).sum()
            far += (counts * (1 - own @ z[draw.candidates].T)).sum()
            drawn += counts.sum()
            of_anchor, of_candidate = segments[draw.anchors][:, None], segments[draw.candidates][None]
            known = (of_anchor != UNKNOWN_SEGMENT) & (of_candidate != UNKNOWN_SEGMENT)
            judged += (counts * known).sum()
            false += (counts * (known & (of_anchor == of_candidate))).sum()
    return Curves(float(far / drawn - near / anchors), float(false / judged))


def segments_of(targets: Sequence[Targets], height: int, width: int, thing_ids: Sequence[int]) -> Tensor:
    """B×height×width int64 on the CPU, what the middle of each cell belongs to; −1 unknown.

    Every instance has a number of its own. Stuff cannot be counted: its number is the class id, in every picture.
    """
    found = torch.full((len(targets), height, width), UNKNOWN_SEGMENT)
    following = 1 << 16
    for picture, target in enumerate(targets):
        if target.masks is None or target.labels is None or not len(target.masks):
            continue
        device = target.masks.device
        rows = ((torch.arange(height, device=device) + 0.5) / height * target.masks.shape[1]).long()
        columns = ((torch.arange(width, device=device) + 0.5) / width * target.masks.shape[2]).long()
        masks = target.masks[:, rows][:, :, columns]
        numbers = torch.arange(following, following + len(masks), device=device)
        is_thing = torch.isin(target.labels, torch.tensor(thing_ids, dtype=torch.int64, device=device))
        numbers = torch.where(is_thing, numbers, target.labels)
        following += len(masks)
        found[picture] = torch.where(masks.any(0), numbers[masks.int().argmax(0)], UNKNOWN_SEGMENT)
    return found


def _cells(embeddings: Tensor) -> Tensor:
    """B×D×h×w as B·h·w×D, in float32 at least."""
    cells = embeddings.permute(0, 2, 3, 1).flatten(0, 2)
    return cells.to(torch.promote_types(cells.dtype, torch.float32))
