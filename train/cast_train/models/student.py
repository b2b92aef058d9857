# SPDX-License-Identifier: Apache-2.0
"""The student: one backbone, one pyramid, a query decoder and a depth head, in several sizes behind one class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from cast_train.models.backbones import make_backbone
from cast_train.models.decoder import DptNeck, Pyramid, SharedDecoder, dense_head
from cast_train.models.depth import DepthForm, DepthHead, light_body
from cast_train.models.queries import QueryDecoder, QueryPrediction, compose_semantic

IMAGE_MEAN = (123.675, 116.28, 103.53)
IMAGE_STD = (58.395, 57.12, 57.375)
NECKS = {'pyramid': Pyramid, 'dpt': DptNeck, 'shared': SharedDecoder}


@dataclass(frozen=True)
class StudentSize:
    """Widths of one member of the family (docs/architecture.md lists them).

    Attributes:
        peaks: queries that start at peaks of the heat map.
        learned: queries that start from learned maps.
        layers: of the query decoder; two leave out its look at 1/8.
        neck: ``shared`` is SwinMTL's decoder, with dense heads and without queries: it answers no instances.
        depth: what the depth head's number stands for.
        light_depth: a depth head of half the work.
    """

    backbone: str
    channels: int
    fine_channels: int
    mask_channels: int
    peaks: int = 40
    learned: int = 24
    layers: int = 3
    feed_factor: int = 4
    neck: Literal['pyramid', 'dpt', 'shared'] = 'pyramid'
    depth: DepthForm = 'log'
    light_depth: bool = False

    @property
    def has_queries(self) -> bool:
        """Whether it answers instances."""
        return self.neck != 'shared'


SIZES = {
    'nano': StudentSize('mobilenetv4_conv_small_050', channels=64, fine_channels=32, mask_channels=16),
    'small': StudentSize('mobilenetv4_conv_small', channels=96, fine_channels=48, mask_channels=32),
    'medium': StudentSize('efficientnet_lite0', channels=128, fine_channels=64, mask_channels=32),
    'base': StudentSize('mobilenetv4_conv_medium', channels=128, fine_channels=64, mask_channels=32),
    'vits': StudentSize(
        'vit_small_patch14_dinov2', 256, 256, 256, peaks=60, learned=40, layers=9, feed_factor=8, neck='dpt'
    ),
    'swinmtl': StudentSize('swinv2_base', 32, 128, 0, neck='shared', depth='bounded_log'),
    'swinmtl-mini': StudentSize('swinv2_mini', 32, 64, 0, neck='shared', depth='bounded_log'),
}


@dataclass(frozen=True)
class StudentOutput:
    """What the network says about B pictures; h×w is a quarter of the input.

    Attributes:
        levels: predictions of the query decoder, the final one last; earlier ones only while training. Empty for a
            student without queries.
        heat: B×T×H/8×W/8 logits of thing centres; None without queries.
        log_depth: B×h×w, natural logarithm of metres at the reference focal length.
        dense_logits: per-pixel class logits. With queries B×C×H/8×W/8, a training aid that is never exported, None
            otherwise; without them B×C×h×w, always.
        encoded: features of the backbone at strides 4, 8, 16 and 32, before the pyramid, where CAST contrasts pixels.
    """

    levels: list[QueryPrediction]
    heat: Tensor | None
    log_depth: Tensor
    dense_logits: Tensor | None
    encoded: list[Tensor]

    def class_scores(self) -> Tensor:
        """B×C×h×w, higher for what is likelier: the map that the queries compose, or logits."""
        if self.levels:
            return compose_semantic(self.levels[-1])
        assert self.dense_logits is not None
        return self.dense_logits

    def rows(self, start: int, end: int) -> StudentOutput:
        """What the network says about pictures ``start`` to ``end`` (exclusive) of the batch."""
        return StudentOutput(
            [QueryPrediction(*(part[start:end] for part in level)) for level in self.levels],
            None if self.heat is None else self.heat[start:end],
            self.log_depth[start:end],
            None if self.dense_logits is None else self.dense_logits[start:end],
            [features[start:end] for features in self.encoded],
        )


class StudentNetwork(nn.Module):
    """Maps uint8 or float RGB pictures (0..255) to instance, semantic and depth predictions.

    Args:
        size: a key of ``SIZES``, or widths of one's own.
        classes: number of classes, things and stuff together.
        thing_ids: class ids of those that can be counted.
        backbone_weights: file for the backbone, or None; safetensors, for DINOv2 also a ``.pth``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        size: str | StudentSize,
        classes: int,
        thing_ids: tuple[int, ...],
        backbone_weights: Path | None = None,
    ) -> None:
        super().__init__()
        widths = SIZES[size] if isinstance(size, str) else size
        self.size, self.classes, self.thing_ids = size, classes, thing_ids
        self.backbone, self.encoder_channels = make_backbone(widths.backbone, backbone_weights)
        self.pyramid = NECKS[widths.neck](self.encoder_channels, widths.channels, widths.fine_channels)
        self.decoder = self._make_decoder(widths) if widths.has_queries else None
        if widths.has_queries:
            body = light_body(widths.fine_channels) if widths.light_depth else None
            self.depth = DepthHead(widths.fine_channels, widths.depth, body)
            self.dense: nn.Module = nn.Conv2d(widths.channels, classes, 1)
        else:
            width = widths.fine_channels
            self.depth = DepthHead(width, widths.depth, dense_head(width), width)
            self.dense = nn.Sequential(dense_head(width), nn.Conv2d(width, classes, 3, padding=1))
        self.register_buffer('mean', torch.tensor(IMAGE_MEAN)[:, None, None], persistent=False)
        self.register_buffer('std', torch.tensor(IMAGE_STD)[:, None, None], persistent=False)

    def _make_decoder(self, widths: StudentSize) -> QueryDecoder:
        return QueryDecoder(
            widths.channels,
            widths.fine_channels,
            self.classes,
            len(self.thing_ids),
            widths.peaks,
            widths.learned,
            widths.mask_channels,
            widths.layers,
            widths.feed_factor,
        )

    def forward(self, images: Tensor) -> StudentOutput:
        """Predict for B×3×H×W pictures in 0..255; H and W are multiples of 32."""
        encoded = self.encode(images)
        fine, coarse = self.pyramid(encoded)
        if self.decoder is None:
            return StudentOutput([], None, self.depth(fine), self.dense(fine), encoded)
        decoded = self.decoder(fine, coarse, every_level=self.training)
        return StudentOutput(
            levels=decoded.levels,
            heat=decoded.heat,
            log_depth=self.depth(fine),
            dense_logits=self.dense(coarse[0]) if self.training else None,
            encoded=encoded,
        )

    def encode(self, images: Tensor) -> list[Tensor]:
        """Features of the backbone alone, at strides 4, 8, 16 and 32."""
        normalised = ((images.to(self.mean.dtype) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        features: list[Tensor] = self.backbone(normalised)
        return features
