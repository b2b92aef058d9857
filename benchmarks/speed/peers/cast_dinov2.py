# SPDX-License-Identifier: Apache-2.0
"""CAST's own student: DINOv2-S/14, a DPT neck and Mask2Former's decoder, at the 52 M parameters that its paper states.

Our size `vits` is made after it and differs: here the picture stays on its grid of 14 pixels, so that maps lie at
strides 3.5, 7, 14 and 28; the neck ends at twice the finest of them, where the masks are computed; the hundred queries
are all learned ones; every layer's prediction of masks, which blocks attention, is made at full size, as in the
original; and there is no depth. Widths are those of `vits` (the published code is wider and has 81 M).
"""

from __future__ import annotations

from itertools import cycle

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cast_train.models.decoder import ResidualUnit
from cast_train.models.queries import BLOCKED, DecoderLayer
from cast_train.models.vits import DINOV2_SMALL, PATCH, Vit

OUTPUTS = ('class_logits', 'mask_logits')
CHANNELS, QUERIES, LAYERS, CLASSES = 256, 100, 9, 80


class CastDinov2(nn.Module):
    """Maps a normalised picture 1×3×H×W, H and W multiples of 14, to logits 1×100×81 and masks 1×100×h×w.

    Masks have 8/14 of the picture's side.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.backbone = Vit(DINOV2_SMALL)
        inputs = DINOV2_SMALL.channels
        self.enter = nn.ModuleList(nn.Conv2d(count, CHANNELS, 3, padding=1, bias=False) for count in inputs)
        self.skip = nn.ModuleList(ResidualUnit(CHANNELS) for _ in inputs[:-1])
        self.merge = nn.ModuleList(
            nn.Sequential(ResidualUnit(CHANNELS), nn.Conv2d(CHANNELS, CHANNELS, 1)) for _ in inputs
        )
        self.level = nn.Parameter(torch.zeros(3, CHANNELS))
        self.queries = nn.Parameter(torch.randn(1, QUERIES, CHANNELS) * 0.02)
        self.embedding = nn.Parameter(torch.randn(1, QUERIES, CHANNELS) * 0.02)
        self.layers = nn.ModuleList(DecoderLayer(CHANNELS, feed_factor=8) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(CHANNELS)
        self.classify = nn.Linear(CHANNELS, CLASSES + 1)
        self.kernel = nn.Sequential(
            nn.Linear(CHANNELS, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, CHANNELS), nn.ReLU(),
            nn.Linear(CHANNELS, CHANNELS),
        )  # fmt: skip

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return class and mask logits of the last layer."""
        features, levels = self._pyramid(picture)
        keys = [(x.flatten(2) + level[:, None]).transpose(1, 2) for x, level in zip(levels, self.level, strict=True)]
        queries = self.queries
        for layer, index in zip(self.layers, cycle(range(3)), strict=False):
            masks = F.interpolate(self._masks(queries, features), size=levels[index].shape[-2:], mode='bilinear')
            bias = (masks.flatten(2) < 0).to(picture.dtype) * BLOCKED
            queries = layer(queries, self.embedding, keys[index], keys[index], bias)
        return self.classify(self.norm(queries)), self._masks(queries, features)

    def _pyramid(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Mask features at 8/14 of the side, and the three coarsest levels, the coarsest first."""
        rows, columns = int(picture.shape[-2]) // PATCH, int(picture.shape[-1]) // PATCH
        taps = self.backbone._tapped(picture, rows, columns)
        steps = zip(taps, self.backbone.project, self.backbone.enlarge, strict=True)
        maps = [enlarge(project(tap)) for tap, project, enlarge in steps]
        maps[3] = self.backbone.halve(maps[3])
        entered = [enter(x) for enter, x in zip(self.enter, maps, strict=True)]
        path = self.merge[3](entered[3])
        levels = [path]
        for level in (2, 1, 0):
            lifted = F.interpolate(path, size=entered[level].shape[-2:], mode='bilinear', align_corners=False)
            path = self.merge[level](lifted + self.skip[level](entered[level]))
            levels.append(path)
        return F.interpolate(path, scale_factor=2, mode='bilinear', align_corners=False), levels[:3]

    def _masks(self, queries: Tensor, features: Tensor) -> Tensor:
        masks: Tensor = (self.kernel(self.norm(queries)) @ features.flatten(2)).unflatten(2, features.shape[-2:])
        return masks
