# SPDX-License-Identifier: Apache-2.0
"""Multi-box CutMix on a finished batch: square pieces of each picture come from another, labels and all.

Numbers of SwinMTL's published code (papers.md §2.3): one to four squares a picture, of a side in [H/8, H/2), anywhere.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cast_ros.student import UNLABELLED
from cast_train.data.augment import Targets
from cast_train.data.batches import Batch
from cast_train.data.partial import pasted_knowledge
from cast_train.errors import DataError

MOST_BOXES = 4
# As in ``make_targets``: what is left of an instance must have so many pixels.
SMALLEST_PX = 12
# Sets these draws apart from others that follow from a picture's seed.
CUTMIX_DRAWS = 2

Box = tuple[int, int, int, int]


def cut_mix(batch: Batch, thing_ids: tuple[int, ...]) -> Batch:
    """Paste squares of a mate at the same place into every picture: picture, strong view and all labels alike.

    Labelled rows have labelled mates, pseudo-labelled ones pseudo-labelled mates. What a mate has no label of is
    unlabelled inside its squares. Draws follow from the targets' seeds alone, so that a resumed run sees the same.
    Masks of which under 12 pixels are left are dropped.

    Args:
        batch: on any device; it is left as it is. A single row of its kind has no mate and stays whole.
        thing_ids: class ids of things.

    Raises:
        DataError: a target has no seed.
    """
    height, width = batch.images.shape[-2:]
    mates = mates_of(batch)
    pasted = torch.zeros(len(mates), height, width, dtype=torch.bool, device=batch.images.device)
    for row, mate in enumerate(mates):
        for top, left, bottom, right in boxes_of(_seed(batch.targets[row]), height, width) if mate != row else []:
            pasted[row, top:bottom, left:right] = True
    return Batch(
        torch.where(pasted[:, None], batch.images[mates], batch.images),
        [
            _mixed(batch.targets[row], batch.targets[mate], pasted[row], thing_ids)
            if mate != row
            else batch.targets[row]
            for row, mate in enumerate(mates)
        ],
        batch.labelled,
        None if batch.strong is None else torch.where(pasted[:, None], batch.strong[mates], batch.strong),
    )


def mates_of(batch: Batch) -> list[int]:
    """The row that each row gets its squares from: a turn of a random order, so that none but a lone one is its own."""
    mates = list(range(len(batch.targets)))
    for rows in (range(batch.labelled), range(batch.labelled, len(batch.targets))):
        if len(rows):
            order = np.random.default_rng([_seed(batch.targets[rows[0]]), CUTMIX_DRAWS]).permutation(rows)
            for row, mate in zip(order, np.roll(order, 1), strict=True):
                mates[int(row)] = int(mate)
    return mates


def boxes_of(seed: int, height: int, width: int) -> list[Box]:
    """Top, left, bottom and right of one to four squares that lie inside the picture."""
    rng = np.random.default_rng([seed, CUTMIX_DRAWS, height, width])
    found = []
    for _ in range(rng.integers(1, MOST_BOXES + 1)):
        side = min(int(rng.integers(max(height // 8, 1), max(height // 2, 2))), width)
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        found.append((top, left, top + side, left + side))
    return found


def _seed(target: Targets) -> int:
    if target.seed is None:
        raise DataError('CutMix draws by the seed of each target, and one has none; make batches with data.batches')
    return target.seed


def _mixed(below: Targets, own: Targets, paste: Tensor, thing_ids: tuple[int, ...]) -> Targets:
    """The targets of a picture with the labels of its mate where ``paste`` holds."""
    masks, labels = _masks(below, own, paste, thing_ids)
    mixed = replace(
        below,
        masks=masks,
        labels=labels,
        semantic=_plane(below.semantic, own.semantic, paste, UNLABELLED),
        depth_m=_plane(below.depth_m, own.depth_m, paste, torch.nan),
        # Scale and shift are those of one picture: two cannot be mixed.
        disparity=None if below.disparity is None else below.disparity.masked_fill(paste, torch.nan),
        segments=_segments(below.segments, own.segments, paste),
        pixel_weights=_plane(below.pixel_weights, own.pixel_weights, paste, 1.0),
    )
    return pasted_knowledge(mixed, own, below, paste, thing_ids)


def _plane(below: Tensor | None, own: Tensor | None, paste: Tensor, unknown: float) -> Tensor | None:
    if below is None and own is None:
        return None
    nothing = torch.full_like(own if below is None else below, unknown)  # type: ignore[arg-type]
    return torch.where(paste, nothing if own is None else own, nothing if below is None else below)


def _masks(
    below: Targets, own: Targets, paste: Tensor, thing_ids: tuple[int, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """Masks and labels of both, cut to their parts; a stuff class that both have stays one mask.

    A picture without masks would be taken for one without instances: nothing is known if one side lacks them.
    """
    if below.masks is None or below.labels is None or own.masks is None or own.labels is None:
        return None, None
    cut = torch.cat([below.masks & ~paste, own.masks & paste])
    labels = torch.cat([below.labels, own.labels])
    is_thing = torch.isin(labels, torch.tensor(thing_ids, dtype=labels.dtype, device=labels.device))
    stuff = labels[~is_thing].unique()
    joined = [cut[labels == label].any(0)[None] for label in stuff]
    masks, labels = torch.cat([*joined, cut[is_thing]]), torch.cat([stuff, labels[is_thing]])
    kept = masks.sum((1, 2)) >= SMALLEST_PX
    return masks[kept], labels[kept]


def _segments(below: Tensor | None, own: Tensor | None, paste: Tensor) -> Tensor | None:
    """Class-agnostic masks of both, large before small, without those that vanish; none where a side has none."""
    if below is None or own is None:
        return None
    cut = torch.cat([below & ~paste, own & paste])
    areas = cut.sum((1, 2))
    order = areas.argsort(descending=True, stable=True)
    return cut[order[areas[order] > 0]]
