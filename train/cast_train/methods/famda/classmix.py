# SPDX-License-Identifier: Apache-2.0
"""ClassMix: half of the classes of a source picture, pasted onto a target picture with all that belongs to them.

Picture, class map, instances and depth move together (papers.md §3.3, §4.1). What is pasted hides what is below it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cast_ros.student import UNLABELLED
from cast_train.data.augment import Targets
from cast_train.data.partial import pasted_knowledge
from cast_train.errors import DataError

SMALLEST_PX = 12
# An instance of which less than this is left beside what was pasted over it is no example of itself any more.
LEAST_VISIBLE = 0.3


class Side(NamedTuple):
    """One of the two pictures: 3×H×W uint8, and its targets."""

    image: Tensor
    targets: Targets


def class_mix(source: Side, target: Side, thing_ids: tuple[int, ...], quality: float, seed: int) -> Side:
    """Paste half of the source's classes, rounded up, onto the target.

    Args:
        source: needs a semantic map.
        target: needs a semantic map; its pixels get the weight ``quality``, the pasted ones 1.
        thing_ids: class ids of things.
        quality: how far the target's labels are to be trusted, 0…1.
        seed: of the choice.

    Raises:
        DataError: a semantic map is missing.
    """
    own, below = source.targets, target.targets
    if own.semantic is None or below.semantic is None:
        raise DataError('ClassMix needs semantic maps on both sides; switch it off for a source without them')
    paste = pasted_pixels(own.semantic, seed)
    semantic = torch.where(paste, own.semantic, below.semantic)
    instances = [_things(own, thing_ids, paste), _things(below, thing_ids, ~paste)]
    stuff = [label for label in semantic.unique().tolist() if label != UNLABELLED and label not in thing_ids]
    masks = [(semantic == label)[None] for label in stuff] + [masks for masks, _ in instances]
    labels = [torch.tensor(stuff, dtype=torch.int64, device=semantic.device)] + [labels for _, labels in instances]
    mixed = Targets(
        masks=torch.cat(masks),
        labels=torch.cat(labels),
        semantic=semantic,
        depth_m=_pasted(own.depth_m, below.depth_m, paste),
        seed=below.seed,
        disparity=None if below.disparity is None else below.disparity.masked_fill(paste, torch.nan),
        pixel_weights=torch.where(paste, 1.0, quality),
    )
    return Side(torch.where(paste, source.image, target.image), pasted_knowledge(mixed, own, below, paste, thing_ids))


def pasted_pixels(semantic: Tensor, seed: int) -> Tensor:
    """H×W bool: the pixels of half of the classes, rounded up."""
    present = semantic.unique()
    present = present[present != UNLABELLED]
    order = torch.randperm(len(present), generator=torch.Generator().manual_seed(seed))
    return torch.isin(semantic, present[order[: (len(present) + 1) // 2]])


def _things(targets: Targets, thing_ids: tuple[int, ...], where: Tensor) -> tuple[Tensor, Tensor]:
    """Masks and labels of the instances that stay visible enough in a part of the picture."""
    if targets.masks is None or targets.labels is None:
        return where.new_zeros(0, *where.shape), torch.zeros(0, dtype=torch.int64, device=where.device)
    things = torch.isin(targets.labels, torch.tensor(thing_ids, device=where.device))
    masks, labels = targets.masks[things], targets.labels[things]
    visible = masks & where
    left = visible.sum((1, 2))
    kept = (left >= SMALLEST_PX) & (left >= LEAST_VISIBLE * masks.sum((1, 2)))
    return visible[kept], labels[kept]


def _pasted(own: Tensor | None, below: Tensor | None, paste: Tensor) -> Tensor | None:
    if own is None and below is None:
        return None
    nothing = torch.full(paste.shape, torch.nan, device=paste.device)
    return torch.where(paste, nothing if own is None else own, nothing if below is None else below)
