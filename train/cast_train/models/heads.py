# SPDX-License-Identifier: Apache-2.0
"""The query decoder for instances and semantics, and the depth head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cast_train.models.decoder import ConvNormAct, SeparableConv, coordinates

COORDINATE_CHANNELS = 16
# Added to the score of a blocked position. Finite, so that a query whose whole mask is empty attends everywhere:
# the constant cancels in the softmax, and no special case is needed in the graph.
BLOCKED = -1.0e4


class QueryPrediction(NamedTuple):
    """One level of deep supervision: class logits B×N×(C+1) (last = no object) and mask logits B×N×h×w at 1/4."""

    class_logits: Tensor
    mask_logits: Tensor


def compose_semantic(prediction: QueryPrediction) -> Tensor:
    """Return B×C×h×w: Σ over queries of class probability × mask probability, without no-object (Mask2Former)."""
    classes = prediction.class_logits.float().softmax(-1)[..., :-1]
    masks = prediction.mask_logits.float().sigmoid()
    composed: Tensor = (classes.transpose(1, 2) @ masks.flatten(2)).unflatten(2, masks.shape[-2:])
    return composed


class Attention(nn.Module):
    """Multi-head attention in plain operators, with an optional additive bias B×N×L."""

    def __init__(self, channels: int, head_channels: int = 32) -> None:
        super().__init__()
        self.heads = max(1, channels // head_channels)
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def _split(self, x: Tensor) -> Tensor:
        batch, length, channels = x.shape
        return x.reshape(batch, length, self.heads, channels // self.heads).transpose(1, 2)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from B×N×C to B×L×C."""
        q, k, v = self._split(self.query(queries)), self._split(self.key(keys)), self._split(self.value(values))
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if bias is not None:
            scores = scores + bias[:, None]
        mixed = scores.softmax(-1) @ v
        attended: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return attended


class DecoderLayer(nn.Module):
    """Masked cross-attention, self-attention, feed-forward; post-norm, as in Mask2Former."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cross, self.own = Attention(channels), Attention(channels)
        self.feed = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.ReLU(inplace=True), nn.Linear(4 * channels, channels)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))

    def forward(self, queries: Tensor, embedding: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Refine B×N×C queries with a feature level given as B×L×C keys and values."""
        queries = self.norms[0](queries + self.cross(queries + embedding, keys, values, bias))
        placed = queries + embedding
        queries = self.norms[1](queries + self.own(placed, placed, queries))
        refined: Tensor = self.norms[2](queries + self.feed(queries))
        return refined


class QueryDecoder(nn.Module):
    """Queries that start from learned activation maps and are refined over 1/32, 1/16 and 1/8 with masked attention.

    Args:
        channels: channels of the coarse levels. fine_channels: channels of the fine level.
        classes: number of classes, things and stuff. queries: N. mask_channels: length of a mask kernel.
    """

    def __init__(self, channels: int, fine_channels: int, classes: int, queries: int, mask_channels: int) -> None:
        super().__init__()
        self.activation = nn.Sequential(
            ConvNormAct(channels, channels, 5, groups=channels), nn.Conv2d(channels, queries, 1)
        )
        self.place = nn.ModuleList(nn.Conv2d(COORDINATE_CHANNELS, channels, 1) for _ in range(3))
        self.level = nn.Parameter(torch.zeros(3, channels))
        self.embedding = nn.Parameter(torch.randn(queries, channels) * 0.02)
        self.enter = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels))
        self.layers = nn.ModuleList(DecoderLayer(channels) for _ in range(3))
        self.norm = nn.LayerNorm(channels)
        self.classify = nn.Linear(channels, classes + 1)
        self.kernel = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, mask_channels + 1)
        )
        self.fine_place = nn.Conv2d(COORDINATE_CHANNELS, fine_channels, 1)
        self.mask_features = nn.Sequential(
            SeparableConv(fine_channels, fine_channels), nn.Conv2d(fine_channels, mask_channels, 1)
        )

    def forward(self, fine: Tensor, coarse: list[Tensor], every_level: bool) -> list[QueryPrediction]:
        """Return the predictions of the start and of each layer, or only of the last."""
        features = self.mask_features(fine + self.fine_place(coordinates(fine)))
        values = [x.flatten(2).transpose(1, 2) for x in coarse]
        keys = [
            (x + place(coordinates(x)) + level[:, None, None]).flatten(2).transpose(1, 2)
            for x, place, level in zip(coarse, self.place, self.level, strict=True)
        ]
        attention = self.activation(coarse[0]).sigmoid().flatten(2)
        attention = attention / (attention.sum(-1, keepdim=True) + 1e-4)
        queries = self.enter(attention @ keys[0])
        predictions = []
        for layer, index in zip(self.layers, (2, 1, 0), strict=True):
            if every_level:
                predictions.append(self._predict(queries, features))
            with torch.no_grad():
                pooled = F.avg_pool2d(features, 2 ** (index + 1))
                bias = (self._masks(self._kernels(queries), pooled).flatten(2) < 0).to(fine.dtype) * BLOCKED
            queries = layer(queries, self.embedding, keys[index], values[index], bias)
        return [*predictions, self._predict(queries, features)]

    def _kernels(self, queries: Tensor) -> Tensor:
        kernels: Tensor = self.kernel(self.norm(queries))
        return kernels

    @staticmethod
    def _masks(kernels: Tensor, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        masks = kernels[..., :-1] @ features.flatten(2) + kernels[..., -1:]
        unflattened: Tensor = masks.unflatten(-1, (height, width))
        return unflattened

    def _predict(self, queries: Tensor, features: Tensor) -> QueryPrediction:
        return QueryPrediction(self.classify(self.norm(queries)), self._masks(self._kernels(queries), features))


class DepthHead(nn.Module):
    """Logarithm of metric depth at 1/4, for the reference focal length; starts near 15 m everywhere."""

    START_LOG_DEPTH = 2.7

    def __init__(self, fine_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(SeparableConv(fine_channels, fine_channels), ConvNormAct(fine_channels, 16, 3))
        self.out = nn.Conv2d(16, 1, 3, padding=1)
        nn.init.normal_(self.out.weight, std=0.01)
        self.out.bias = nn.Parameter(torch.full((1,), self.START_LOG_DEPTH))

    def forward(self, fine: Tensor) -> Tensor:
        """Return B×h×w natural logarithms of metres, within 0.1 m to 1 km so that the exponential stays finite."""
        log_depth: Tensor = self.out(self.body(fine))[:, 0].clamp(-2.3, 6.9)
        return log_depth
