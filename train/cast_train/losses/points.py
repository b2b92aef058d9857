# SPDX-License-Identifier: Apache-2.0
"""Where mask losses look: sampled points instead of whole pictures (PointRend, as Mask2Former uses it)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def read_at(maps: Tensor, points: Tensor) -> Tensor:
    """Read M×h×w maps bilinearly at M×P×2 points (x, y in 0…1 over the map) and return M×P."""
    sampled = F.grid_sample(
        maps[:, None], 2 * points[:, :, None] - 1, mode='bilinear', padding_mode='border', align_corners=False
    )
    return sampled[:, 0, :, 0]


def read_nearest(masks: Tensor, rows: Tensor, points: Tensor) -> Tensor:
    """Read R of M×H×W bool masks, named by ``rows``, at R×P×2 points: R×P floats, without a copy of the masks."""
    height, width = masks.shape[-2:]
    columns = (points[..., 0] * width).long().clamp(0, width - 1)
    lines = (points[..., 1] * height).long().clamp(0, height - 1)
    return masks[rows[:, None], lines, columns].float()


def boxes_of(masks: Tensor) -> Tensor:
    """Return M×4 normalised x0 y0 x1 y1 of M×H×W masks, none of them empty."""
    height, width = masks.shape[-2:]
    edges = []
    for covered, length in ((masks.any(1), width), (masks.any(2), height)):
        first = covered.int().argmax(1)
        last = length - 1 - covered.flip(1).int().argmax(1)
        edges.append((first / length, (last + 1) / length))
    (x0, x1), (y0, y1) = edges
    return torch.stack([x0, y0, x1, y1], 1)


def loss_points(logits: Tensor, boxes: Tensor, count: int, oversample: float = 2.0, importance: float = 0.5) -> Tensor:
    """Draw M×P×2 points: the most uncertain of many, points inside each target's box, and points anywhere.

    Uncertain points follow PointRend. The share inside the box is ours: a target of thirty pixels in a street would
    otherwise meet a point or two, and its Dice would be noise.

    Args:
        logits: M×h×w predicted masks.
        boxes: M×4 normalised boxes of their targets.
        count: P.
        oversample: candidates for each uncertain point.
        importance: share of uncertain points.
    """
    rows = len(logits)
    uncertain = int(count * importance)
    inside = (count - uncertain) // 2
    with torch.no_grad():
        low, size = boxes[:, None, :2], (boxes[:, None, 2:] - boxes[:, None, :2])
        in_box = low + size * (torch.rand(rows, inside, 2, device=boxes.device) * 1.3 - 0.15)
        anywhere = torch.rand(rows, count - uncertain - inside, 2, device=boxes.device)
        candidates = torch.rand(rows, int(uncertain * oversample), 2, device=boxes.device)
        certainty = read_at(logits, candidates).abs()
        best = certainty.topk(uncertain, dim=1, largest=False).indices
        chosen = candidates.gather(1, best[..., None].expand(-1, -1, 2))
        return torch.cat([chosen, in_box.clamp(0, 1), anywhere], 1)
