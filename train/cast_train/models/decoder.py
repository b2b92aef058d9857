# SPDX-License-Identifier: Apache-2.0
"""From backbone features to one shared pyramid; only operators that export to ONNX and run fast in onnxruntime."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, groups: int = 1, activation: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        if activation:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class SeparableConv(nn.Sequential):
    """Depthwise 5×5, then 1×1 with norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(ConvNormAct(inputs, inputs, 5, groups=inputs, activation=False), ConvNormAct(inputs, outputs))


class Pyramid(nn.Module):
    """Top-down feature pyramid: coarse levels of ``channels`` at 1/8, 1/16, 1/32 and a fine level at 1/4.

    Args:
        inputs: channel counts of the backbone at strides 4, 8, 16, 32.
        channels: channels of the three coarse levels.
        fine_channels: channels of the fine level.
    """

    def __init__(self, inputs: list[int], channels: int, fine_channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNormAct(count, channels, activation=False) for count in inputs[1:])
        self.smooth = nn.ModuleList(SeparableConv(channels, channels) for _ in inputs[1:])
        self.context = nn.Conv2d(channels, channels, 1)
        self.fine_lateral = ConvNormAct(inputs[0], fine_channels, activation=False)
        self.fine_reduce = ConvNormAct(channels, fine_channels, activation=False)
        self.fine_smooth = SeparableConv(fine_channels, fine_channels)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return (fine B×F×H/4×W/4, [B×C at 1/8, 1/16, 1/32])."""
        eighth, sixteenth, coarse = (lateral(x) for lateral, x in zip(self.lateral, features[1:], strict=True))
        coarse = coarse + self.context(coarse.mean((2, 3), keepdim=True))
        coarse = self.smooth[2](coarse)
        sixteenth = self.smooth[1](sixteenth + F.interpolate(coarse, size=sixteenth.shape[-2:], mode='nearest'))
        eighth = self.smooth[0](eighth + F.interpolate(sixteenth, size=eighth.shape[-2:], mode='nearest'))
        fine = self.fine_lateral(features[0])
        lifted = F.interpolate(self.fine_reduce(eighth), size=fine.shape[-2:], mode='bilinear', align_corners=False)
        return self.fine_smooth(F.relu(fine + lifted)), [eighth, sixteenth, coarse]


def coordinates(like: Tensor) -> Tensor:
    """Return 1×16×H×W, the size of ``like``: the waves of each cell's row and column."""
    height, width = like.shape[-2:]
    rows = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) / height
    columns = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) / width
    return waves(rows[:, None].expand(height, width), columns[None].expand(height, width)).permute(2, 0, 1)[None]


def waves(rows: Tensor, columns: Tensor) -> Tensor:
    """Return …×16: sines and cosines of positions in 0…1, rows first, at four frequencies."""
    parts = []
    for axis in (rows, columns):
        for frequency in (0.5, 1.0, 2.0, 4.0):
            angle = 2 * torch.pi * frequency * axis
            parts += [angle.sin(), angle.cos()]
    return torch.stack(parts, -1)
