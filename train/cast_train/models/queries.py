# SPDX-License-Identifier: Apache-2.0
"""The query decoder: instances and semantics from one set of queries.

Most queries start at peaks of a centre heat map (as CenterNet finds objects), so that each begins with one place and
the features there; the rest start from learned activation maps and take the stuff. All are refined over 1/32, 1/16
and 1/8 with masked attention (Mask2Former), once or several times. Each predicts a box, and its mask fades outside of
it: without that bound, a decoder that starts from random weights long paints all persons of a street with one query.
"""

from __future__ import annotations

from itertools import cycle
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cast_train.models.decoder import ConvNormAct, SeparableConv, coordinates, waves

HEAD_CHANNELS = 32


class Attention(nn.Module):
    """Multi-head attention in plain operators, with an optional additive bias B×N×L."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD_CHANNELS)
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def _split(self, x: Tensor) -> Tensor:
        batch, length, channels = x.shape
        return x.reshape(batch, length, self.heads, channels // self.heads).transpose(1, 2)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from B×N×C to B×L×C, or to maps B×C×H×W, whose cells are then the L."""
        q = self._split(self.query(queries))
        if keys.ndim == 4:
            k, v = self._project(self.key, keys), self._project(self.value, values)
        else:
            k, v = self._split(self.key(keys)).transpose(-1, -2), self._split(self.value(values)).transpose(-1, -2)
        scores = (q * q.shape[-1] ** -0.5) @ k
        if bias is not None:
            scores = scores + bias[:, None]
        mixed = scores.softmax(-1) @ v.transpose(-1, -2)
        attended: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return attended

    def _project(self, linear: nn.Linear, x: Tensor) -> Tensor:
        """B×heads×c×L of a map; a convolution, since it takes maps in the order in which onnxruntime keeps them."""
        mapped = F.conv2d(x, linear.weight[:, :, None, None], linear.bias)
        return mapped.reshape(x.shape[0], self.heads, x.shape[1] // self.heads, -1)


class DecoderLayer(nn.Module):
    """Masked cross-attention, self-attention, feed-forward; post-norm, as in Mask2Former."""

    def __init__(self, channels: int, feed_factor: int = 4) -> None:
        super().__init__()
        feed_channels = feed_factor * channels
        self.cross, self.own = Attention(channels), Attention(channels)
        self.feed = nn.Sequential(
            nn.Linear(channels, feed_channels), nn.ReLU(inplace=True), nn.Linear(feed_channels, channels)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))

    def forward(self, queries: Tensor, embedding: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Refine B×N×C queries with a feature level, given as maps B×C×H×W of keys and values."""
        queries = self.norms[0](queries + self.cross(queries + embedding, keys, values, bias))
        placed = queries + embedding
        queries = self.norms[1](queries + self.own(placed, placed, queries))
        refined: Tensor = self.norms[2](queries + self.feed(queries))
        return refined


COORDINATE_CHANNELS = 16
# Added to the score of a blocked position. Finite, so that a query whose whole mask is empty attends everywhere:
# the constant cancels in the softmax, and no special case is needed in the graph.
BLOCKED = -1.0e4
# A mask fades by FADE per half box size, from BOX_MARGIN half sizes away from the box's centre on.
BOX_MARGIN = 1.2
FADE = 8.0
# Logit of a box's width and height at the start: a tenth of the picture for a peak, nearly all of it for the others.
START_SMALL, START_LARGE = -2.2, 2.2
# Heat below COLD makes a peak count for nothing, from WARM on it counts in full; in between it fades, so that the last
# peak of many cold ones may change by rounding without any effect.
COLD, WARM = 0.01, 0.05
# Logit of the heat map at the start: a peak in a thousand cells, so that the first steps are not all background.
START_HEAT = -4.6


class QueryPrediction(NamedTuple):
    """One level of deep supervision for N queries.

    Attributes:
        class_logits: B×N×(C+1), the last is no object.
        mask_logits: B×N×h×w at 1/4; at 1/8 for all levels but the final one, where a coarse mask teaches as well and
            costs a quarter.
        boxes: B×N×4, centre x, y, width, height in 0…1.
    """

    class_logits: Tensor
    mask_logits: Tensor
    boxes: Tensor


class Decoded(NamedTuple):
    """Predictions of the levels that were asked for, the final one last, and the heat map B×T×H/8×W/8 of centres."""

    levels: list[QueryPrediction]
    heat: Tensor


def compose_semantic(prediction: QueryPrediction) -> Tensor:
    """Return B×C×h×w: Σ over queries of class probability × mask probability, without no-object (Mask2Former)."""
    # Under autocast they come in 16 bits, which is too few for a sum over queries.
    classes, masks = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in prediction[:2])
    classes, masks = classes.softmax(-1)[..., :-1], masks.sigmoid()
    composed: Tensor = (classes.transpose(1, 2) @ masks.flatten(2)).unflatten(2, masks.shape[-2:])
    return composed


class QueryDecoder(nn.Module):
    """See the module.

    Args:
        channels: channels of the coarse levels.
        fine_channels: channels of the fine level.
        classes: number of classes, things and stuff.
        things: number of thing classes; zero makes all queries learned ones.
        peaks: queries that start at peaks.
        learned: queries that start from learned maps.
        mask_channels: length of a mask kernel.
        layers: how many; they take the coarse levels in turn, the coarsest first.
        feed_factor: width of a layer's feed-forward part in ``channels``.
    """

    def __init__(
        self,
        channels: int,
        fine_channels: int,
        classes: int,
        things: int,
        peaks: int,
        learned: int,
        mask_channels: int,
        layers: int = 3,
        feed_factor: int = 4,
    ) -> None:
        super().__init__()
        self.peaks = peaks if things else 0
        self.heat = nn.Sequential(SeparableConv(channels, channels), nn.Conv2d(channels, max(things, 1), 1))
        self.activation = nn.Sequential(
            ConvNormAct(channels, channels, 5, groups=channels), nn.Conv2d(channels, learned, 1)
        )
        self.place = nn.ModuleList(nn.Conv2d(COORDINATE_CHANNELS, channels, 1) for _ in range(3))
        self.level = nn.Parameter(torch.zeros(3, channels))
        self.embedding = nn.Parameter(torch.randn(learned, channels) * 0.02)
        self.peak_embedding = nn.Linear(COORDINATE_CHANNELS, channels)
        self.enter = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels))
        self.layers = nn.ModuleList(DecoderLayer(channels, feed_factor) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.classify = nn.Linear(channels, classes + 1)
        self.kernel = _mlp(channels, mask_channels + 1)
        self.box = _mlp(channels, 4)
        self.fine_place = nn.Conv2d(COORDINATE_CHANNELS, fine_channels, 1)
        self.mask_features = nn.Sequential(
            SeparableConv(fine_channels, fine_channels), nn.Conv2d(fine_channels, mask_channels, 1)
        )
        self.heat[1].bias = nn.Parameter(torch.full((max(things, 1),), START_HEAT))

    def forward(self, fine: Tensor, coarse: list[Tensor], every_level: bool) -> Decoded:
        """Decode the pyramid; ``every_level`` also returns the predictions of the start and of the first layers."""
        features = self.mask_features(fine + self.fine_place(coordinates(fine)))
        halved = F.avg_pool2d(features, 2)
        keys = [
            x + (place(coordinates(x)) + level[:, None, None])
            for x, place, level in zip(coarse, self.place, self.level, strict=True)
        ]
        heat = self.heat(coarse[0])
        queries, start, embedding = self._start(coarse[0], keys[0], heat)
        predictions = []
        for layer, index in zip(self.layers, cycle((2, 1, 0)), strict=False):
            if every_level:
                predictions.append(self._predict(queries, start, halved))
            with torch.no_grad():
                pooled = F.avg_pool2d(features, 2 ** (index + 1))
                masks = self._masks(queries, self._boxes(queries, start), pooled)
                # 1 below zero, otherwise 0, without a comparison: OpenVINO 1.24 cannot compile one beside attention.
                bias = (-masks.flatten(2)).relu().sign() * BLOCKED
            queries = layer(queries, embedding, keys[index], coarse[index], bias)
        return Decoded([*predictions, self._predict(queries, start, features)], heat)

    def _start(self, level: Tensor, keys: Tensor, heat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """First queries B×N×C, logits of their first boxes B×N×4, and position embeddings B×N×C."""
        attention = self.activation(level).sigmoid().flatten(2)
        attention = attention / (attention.sum(-1, keepdim=True) + 1e-4)
        queries = attention @ keys.flatten(2).transpose(-1, -2)
        middle = torch.zeros_like(queries[..., :2])
        large = torch.cat([middle, middle + START_LARGE], -1)
        embedding = self.embedding[None].expand(queries.shape[0], -1, -1)
        if not self.peaks:
            return self.enter(queries), large, embedding
        height, width = heat.shape[-2:]
        warmth, peaks = best_peaks(heat, self.peaks)
        cells = peaks % (height * width)
        found = keys.flatten(2).gather(2, cells[:, None].expand(-1, keys.shape[1], -1)).transpose(-1, -2)
        rows = torch.div(cells, width, rounding_mode='floor')
        points = torch.stack([(cells - rows * width + 0.5) / width, (rows + 0.5) / height], -1).to(keys.dtype)
        weight = ((warmth - COLD) / (WARM - COLD)).clamp(0, 1)[..., None]
        small = torch.cat([torch.log(points / (1 - points)), torch.full_like(points, START_SMALL)], -1)
        placed = self.peak_embedding(waves(points[..., 1], points[..., 0]))
        return (
            self.enter(torch.cat([weight * found, queries], 1)),
            torch.cat([weight * small, large], 1),
            torch.cat([weight * placed, embedding], 1),
        )

    def _boxes(self, queries: Tensor, start: Tensor) -> Tensor:
        """Boxes B×N×4 as offsets from the first ones, in logits."""
        boxes: Tensor = (self.box(self.norm(queries)) + start).sigmoid()
        return boxes

    def _masks(self, queries: Tensor, boxes: Tensor, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        kernels = self.kernel(self.norm(queries))
        masks = (kernels[..., :-1] @ features.flatten(2)).unflatten(-1, (height, width))
        rows, columns = outside(boxes.detach(), height, width)
        # What is constant along a row is subtracted in one pass over the masks.
        faded: Tensor = masks - (rows - kernels[..., -1:])[..., :, None] - columns[..., None, :]
        return faded

    def _predict(self, queries: Tensor, start: Tensor, features: Tensor) -> QueryPrediction:
        boxes = self._boxes(queries, start)
        return QueryPrediction(self.classify(self.norm(queries)), self._masks(queries, boxes, features), boxes)


def best_peaks(heat: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return heat, and index over flattened T×H×W, of the highest cells that no neighbour of their class exceeds.

    Both are B×count, best first. Where there are fewer peaks the rest has heat 0 and any index.
    """
    heat = heat.detach()
    # Logits, since probabilities near one are equal in float32: which of them is best would hang on the runtime.
    is_peak = F.max_pool2d(heat, 3, stride=1, padding=1) <= heat
    best, indices = torch.where(is_peak, heat, BLOCKED).flatten(1).topk(count)
    return best.sigmoid(), indices


def outside(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """How far rows B×N×height and columns B×N×width lie outside each box: zero in and around it, then growing.

    Their sum, in half box sizes, is what a mask fades by.
    """
    distances = []
    for centre, size, cells in ((boxes[..., 1], boxes[..., 3], height), (boxes[..., 0], boxes[..., 2], width)):
        middles = (torch.arange(cells, dtype=boxes.dtype, device=boxes.device) + 0.5) / cells
        half = size[..., None] / 2 + 1 / cells
        distances.append(FADE * F.relu((middles - centre[..., None]).abs() / half - BOX_MARGIN))
    return distances[0], distances[1]


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(inplace=True), nn.Linear(inputs, outputs))
