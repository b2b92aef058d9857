# SPDX-License-Identifier: Apache-2.0
"""Attention in plain operators, which export as they are."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

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
