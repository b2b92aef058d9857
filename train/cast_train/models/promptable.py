# SPDX-License-Identifier: Apache-2.0
"""A class-agnostic network that turns a box into a mask: what SAM is to the paper's teacher, small enough for a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import masks_to_boxes, roi_align

from cast_train.models.backbones import BACKBONES, make_backbone
from cast_train.models.decoder import ConvNormAct, Pyramid, SeparableConv, coordinates
from cast_train.models.student import IMAGE_MEAN, IMAGE_STD
from cast_train.settings import Positive, Settings, Weight, one_of

COORDINATE_CHANNELS = 16
SIZE_CHANNELS = 2
PIXEL_CHANNELS = 16
# Boxes with sides under this many pixels of the input are widened to it: nothing could be seen in them.
SMALLEST_SIDE_PX = 1.0


class PromptableSize(Settings):
    """Widths of a mask network.

    Attributes:
        backbone: a key of ``BACKBONES``.
        channels: of the coarse levels of the pyramid.
        fine_channels: of its fine level.
        head_channels: of the convolutions inside a box.
        grid: cells along each side of an enlarged box; a mask has twice as many.
        margin: a box is enlarged by this share of its size on every side, so that one that is drawn too small still
            shows the whole object.
    """

    backbone: Annotated[str, one_of(BACKBONES)] = 'mobilenetv4_conv_small'
    channels: Positive = 64
    fine_channels: Positive = 48
    head_channels: Positive = 64
    grid: Annotated[int, Field(ge=4, le=64)] = 16
    margin: Weight = 0.25


class PromptableMasks(nn.Module):
    """Maps pictures and boxes to one mask for each box; knows no classes.

    Features at 1/4 and 1/8 and the pixels themselves are read in the enlarged box (RoIAlign). The prompt is the frame:
    the box always fills the same part of the grid, and coordinates and its size in pixels are channels of their own.

    Args:
        size: widths.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: PromptableSize, backbone_weights: Path | None = None) -> None:
        super().__init__()
        self.size = size
        self.backbone, counts = make_backbone(size.backbone, backbone_weights)
        self.pyramid = Pyramid(counts, size.channels, size.fine_channels)
        self.pixels = ConvNormAct(3, PIXEL_CHANNELS, 3)
        inputs = size.fine_channels + size.channels + PIXEL_CHANNELS + COORDINATE_CHANNELS + SIZE_CHANNELS
        self.coarse = nn.Sequential(
            ConvNormAct(inputs, size.head_channels),
            *(SeparableConv(size.head_channels, size.head_channels) for _ in range(3)),
        )
        half = size.head_channels // 2
        self.fine = nn.Sequential(
            ConvNormAct(size.head_channels + PIXEL_CHANNELS, half), SeparableConv(half, half), nn.Conv2d(half, 1, 1)
        )
        self.register_buffer('mean', torch.tensor(IMAGE_MEAN)[:, None, None], persistent=False)
        self.register_buffer('std', torch.tensor(IMAGE_STD)[:, None, None], persistent=False)

    @property
    def mask_side(self) -> int:
        """Cells along each side of a mask."""
        return 2 * self.size.grid

    def forward(self, images: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Return M×S×S mask logits, each on the grid of its enlarged box (``regions``), boxes of all pictures in order.

        Args:
            images: B×3×H×W in 0…255; H and W are multiples of 32.
            boxes: for each picture M_i×4, x0 y0 x1 y1 in pixels of the input.
        """
        normalised = ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        fine, coarse = self.pyramid(self.backbone(normalised))
        regions = [self.regions(one.to(normalised)) for one in boxes]
        grid = self.size.grid
        crops = roi_align(normalised, regions, self.mask_side, 1.0, 1, aligned=True)
        pixels = self.pixels(crops.contiguous(memory_format=torch.channels_last))
        head = torch.cat(
            [
                roi_align(fine, regions, grid, 1 / 4, 1, aligned=True),
                roi_align(coarse[0], regions, grid, 1 / 8, 1, aligned=True),
                F.avg_pool2d(pixels, 2),
            ],
            1,
        )
        where = coordinates(head).expand(len(head), -1, -1, -1)
        sizes = box_sizes(torch.cat(regions)).log()[:, :, None, None].expand(-1, -1, grid, grid)
        joined = torch.cat([head, where, sizes / 4], 1).contiguous(memory_format=torch.channels_last)
        features = self.coarse(joined)
        lifted = F.interpolate(features, scale_factor=2, mode='bilinear', align_corners=False)
        logits: Tensor = self.fine(torch.cat([lifted, pixels], 1))[:, 0]
        return logits

    def regions(self, boxes: Tensor) -> Tensor:
        """M×4 enlarged boxes; they may reach beyond the picture."""
        return enlarge(boxes, self.size.margin)


def enlarge(boxes: Tensor, margin: float) -> Tensor:
    """Grow M×4 boxes x0 y0 x1 y1 by ``margin`` of their size on every side."""
    sizes = box_sizes(boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = sizes * (0.5 + margin)
    return torch.cat([centres - half, centres + half], 1)


def box_sizes(boxes: Tensor) -> Tensor:
    """M×2 widths and heights, at least ``SMALLEST_SIDE_PX``."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=SMALLEST_SIDE_PX)


def jitter(boxes: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Move centres and scale sides of M×4 boxes by normal noise of ``amount`` of their size, cut at two deviations."""
    sizes = box_sizes(boxes)
    noise = torch.randn(len(boxes), 4, generator=generator).clamp(-2, 2) * amount
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + noise[:, :2] * sizes
    half = sizes * (noise[:, 2:].exp() / 2)
    return torch.cat([centres - half, centres + half], 1)


def boxes_around(masks: Tensor) -> Tensor:
    """M×4 float boxes x0 y0 x1 y1, ends exclusive, around M×H×W bool masks, none of them empty."""
    boxes: Tensor = masks_to_boxes(masks) + torch.tensor([0.0, 0.0, 1.0, 1.0], device=masks.device)
    return boxes


def mask_loss(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Mean binary cross entropy and Dice loss of M×S×S logits against soft targets in 0…1; zero without a mask."""
    if not len(logits):
        nothing = logits.sum() * 0
        return {'mask': nothing, 'dice': nothing}
    probabilities = logits.float().sigmoid()
    overlap = (probabilities * targets).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (probabilities.sum((1, 2)) + targets.sum((1, 2)) + 1)
    return {'mask': F.binary_cross_entropy_with_logits(logits.float(), targets), 'dice': dice.mean()}


def read_targets(masks: Sequence[Tensor], regions: Sequence[Tensor], side: int) -> Tensor:
    """M×S×S share of each cell of a region that its mask (M_i×H×W bool) covers."""
    read = []
    for own, where in zip(masks, regions, strict=True):
        numbered = torch.cat([torch.arange(len(own), dtype=torch.float32)[:, None], where], 1)
        read.append(roi_align(own[:, None].float(), numbered, side, 1.0, 2, aligned=True)[:, 0])
    return torch.cat(read)


def paste(probabilities: Tensor, regions: Tensor, size: tuple[int, int], extent: tuple[int, int]) -> Tensor:
    """Put M×S×S probabilities from their regions onto M×h×w cells, zero outside of them.

    Args:
        probabilities: on the grid of each region.
        regions: M×4 x0 y0 x1 y1 in pixels of the input.
        size: h, w.
        extent: height and width that the cells span, in pixels of the input from its top left corner.
    """
    (height, width), (tall, wide) = size, extent
    rows = (torch.arange(height, dtype=torch.float32) + 0.5) * (tall / height)
    columns = (torch.arange(width, dtype=torch.float32) + 0.5) * (wide / width)
    x = 2 * (columns[None] - regions[:, :1]) / (regions[:, 2:3] - regions[:, :1]) - 1
    y = 2 * (rows[None] - regions[:, 1:2]) / (regions[:, 3:4] - regions[:, 1:2]) - 1
    grid = torch.stack([x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], -1)
    return F.grid_sample(probabilities[:, None], grid, mode='bilinear', padding_mode='zeros', align_corners=False)[:, 0]
