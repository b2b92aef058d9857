# SPDX-License-Identifier: Apache-2.0
"""Where mask losses look: sampled points instead of whole pictures (PointRend, as Mask2Former uses it)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# Share of the points that are the most uncertain ones, and candidates for each of them.
UNCERTAIN = 0.5
OVERSAMPLE = 2.0
# More than any decoder has; keeps the seeds of pictures and levels apart.
LEVELS = 64


def read_at(maps: Tensor, points: Tensor) -> Tensor:
    """Read M×h×w maps bilinearly at M×P×2 points (x, y in 0…1 over the map) and return M×P."""
    sampled = F.grid_sample(
        maps[:, None], 2 * points[:, :, None] - 1, mode='bilinear', padding_mode='border', align_corners=False
    )
    return sampled[:, 0, :, 0]


def read_nearest(masks: Tensor, rows: Tensor, points: Tensor) -> Tensor:
    """Read R of M×H×W bool masks, named by ``rows``, at R×P×2 points: R×P floats, without a copy of the masks.

    ``rows`` may lie on the CPU, whatever the device of the masks and points.
    """
    height, width = masks.shape[-2:]
    columns = (points[..., 0] * width).long().clamp_(0, width - 1)
    lines = (points[..., 1] * height).long().clamp_(0, height - 1)
    places = lines.add_(rows.to(lines.device)[:, None] * height).mul_(width).add_(columns)
    # By one flat index: three of them take three times as long.
    return masks.flatten().index_select(0, places.flatten()).view_as(places).float()


def coarse_masks(masks: Tensor, height: int, width: int) -> Tensor:
    """Return what share of each of height×width cells every one of M×H×W bool masks covers."""
    tall, wide = masks.shape[-2] // height, masks.shape[-1] // width
    if masks.shape[-2:] != (tall * height, wide * width) or not 0 < tall < 256:
        return F.adaptive_avg_pool2d(masks.float(), (height, width))
    # Adding up whole rows of bytes is several times faster than pooling floats, and as exact.
    covered = masks.view(torch.uint8).unflatten(1, (height, tall))
    lines = torch.zeros_like(covered[:, :, 0])
    for line in range(tall):
        lines += covered[:, :, line]
    cells = torch.zeros(len(masks), height, width, device=masks.device)
    for column in range(wide):
        cells += lines[..., column::wide]
    return cells / (tall * wide)


def boxes_of(masks: Tensor) -> Tensor:
    """Return M×4 normalised x0 y0 x1 y1 of M×H×W masks, none of them empty."""
    height, width = masks.shape[-2:]
    edges = []
    # As bytes, since any() of bools takes fifty times as long as this.
    covering = masks.view(torch.uint8)
    for covered, length in ((covering.amax(1), width), (covering.amax(2), height)):
        first = covered.int().argmax(1)
        last = length - 1 - covered.flip(1).int().argmax(1)
        edges.append((first / length, (last + 1) / length))
    (x0, x1), (y0, y1) = edges
    return torch.stack([x0, y0, x1, y1], 1)


def random_points(seeds: Sequence[int | None], rows: Sequence[int], level: int, count: int) -> Tensor:
    """Draw R×D×2 numbers in 0…1 for ``loss_points`` of P = ``count``.

    Args:
        seeds: of each picture; None draws from torch's own generator.
        rows: masks of each picture; R is their sum.
        level: of the decoder; each has other draws.
        count: P.
    """
    return torch.cat(
        [
            torch.rand(number, sum(_shares(count)), 2, generator=_generator(seed, level))
            for seed, number in zip(seeds, rows, strict=True)
        ]
    )


def loss_points(logits: Tensor, boxes: Tensor, count: int, draws: Tensor) -> Tensor:
    """Choose M×P×2 points: the most uncertain of many, points inside each target's box, and points anywhere.

    Uncertain points follow PointRend. The share inside the box is ours: a target of thirty pixels in a street would
    otherwise meet a point or two, and its Dice would be noise.

    Args:
        logits: M×h×w predicted masks.
        boxes: M×4 normalised boxes of their targets.
        count: P.
        draws: ``random_points`` for these M masks.
    """
    uncertain = int(count * UNCERTAIN)
    in_box, anywhere, candidates = draws.to(boxes.device).split(_shares(count), 1)
    with torch.no_grad():
        low, size = boxes[:, None, :2], (boxes[:, None, 2:] - boxes[:, None, :2])
        inside = (low + size * (in_box * 1.3 - 0.15)).clamp(0, 1)
        best = read_at(logits, candidates).abs().topk(uncertain, dim=1, largest=False, sorted=False).indices
        chosen = candidates.gather(1, best[..., None].expand(-1, -1, 2))
        return torch.cat([chosen, inside, anywhere], 1)


def _shares(count: int) -> tuple[int, int, int]:
    """Points drawn inside the box, anywhere, and as candidates for the uncertain ones."""
    uncertain = int(count * UNCERTAIN)
    inside = (count - uncertain) // 2
    return inside, count - uncertain - inside, int(uncertain * OVERSAMPLE)


def _generator(seed: int | None, level: int) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed * LEVELS + level)
