# SPDX-License-Identifier: Apache-2.0
"""What partial labels still say after one picture was pasted onto another."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cast_train.data.augment import Targets, unsure_pixels


def pasted_knowledge(
    mixed: Targets, own: Targets, below: Targets, paste: Tensor, thing_ids: tuple[int, ...]
) -> Targets:
    """Give a mixed picture the unions of both of its parts, and as complete only what both had complete.

    Args:
        mixed: the picture, with its masks, labels and semantic map.
        own: what was pasted.
        below: what it was pasted onto.
        paste: H×W bool, where.
        thing_ids: class ids of things.

    Returns:
        ``mixed`` itself where both parts have full labels.
    """
    if not (own.is_partial or below.is_partial):
        return mixed
    union_ids = None
    if own.union_ids is not None or below.union_ids is not None:
        none = torch.zeros_like(paste, dtype=torch.int64)
        upper = none if own.union_ids is None else own.union_ids
        lower = none if below.union_ids is None else below.union_ids
        union_ids = torch.where(paste, upper, torch.where(lower > 0, lower + len(own.unions), 0))
    unions = own.unions + below.unions
    both = [thing_ids if side.complete is None else side.complete for side in (own, below)]
    unsure = None
    if mixed.semantic is not None and mixed.labels is not None:
        unsure = unsure_pixels(mixed.semantic, union_ids, unions, mixed.labels.tolist(), thing_ids)
    complete = tuple(thing for thing in both[0] if thing in both[1])
    return replace(mixed, union_ids=union_ids, unions=unions, complete=complete, unsure=unsure)
