# SPDX-License-Identifier: Apache-2.0
"""Class-agnostic masks correct a class map: every mask takes the class that most of its pixels have.

FAMDA's abstract says as much (papers.md §3.1). Skipping weak votes and protecting thin classes are ours: a pole is
often no mask of its own, and the mask of the wall behind it would vote it away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cast_ros.student import UNLABELLED


def majority_vote(
    labels: Tensor, segments: Tensor, classes: int, least_share: float, protected: Sequence[int] = ()
) -> Tensor:
    """Paint every mask with its majority class; where masks overlap the later one, which is the smaller, has it.

    Args:
        labels: H×W int64 class ids, 255 unlabelled, which has no vote.
        segments: M×H×W bool, large before small.
        classes: number of classes.
        least_share: a winner with a smaller share of the votes paints nothing.
        protected: class ids whose pixels stay as they are.

    Returns:
        H×W int64; pixels in no mask keep their class.
    """
    if not len(segments):
        return labels
    known = labels != UNLABELLED
    votes = F.one_hot(torch.where(known, labels, classes).flatten(), classes + 1)[:, :classes].float()
    counts = segments.flatten(1).float() @ votes
    most, winner = counts.max(1)
    strong = most > least_share * counts.sum(1).clamp(min=1)
    strong &= most > 0
    places = torch.arange(1, len(segments) + 1, device=labels.device)
    # Masks come large before small, so the highest place is the smallest mask that covers a pixel.
    last = (segments & strong[:, None, None]).to(places.dtype).mul_(places[:, None, None]).amax(0)
    painted = torch.where(last > 0, winner[(last - 1).clamp(min=0)], labels)
    if not protected:
        return painted
    keep = torch.isin(labels, torch.tensor(list(protected), device=labels.device))
    return torch.where(keep, labels, painted)


def best_segments(masks: Tensor, segments: Tensor, least_iou: float) -> Tensor:
    """Replace each of N×H×W bool masks by the segment that overlaps it best, if their IoU is at least ``least_iou``."""
    if not len(masks) or not len(segments):
        return masks
    own, others = masks.flatten(1).float(), segments.flatten(1).float()
    shared = own @ others.T
    iou, best = (shared / (own.sum(1)[:, None] + others.sum(1) - shared).clamp(min=1)).max(1)
    return torch.where((iou >= least_iou)[:, None, None], segments[best], masks)
