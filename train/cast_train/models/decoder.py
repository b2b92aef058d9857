# SPDX-License-Identifier: Apache-2.0
"""From backbone features to one shared pyramid: ours, DPT's as in CAST's student, SwinMTL's without skips.

Only operators that export to ONNX and run fast in onnxruntime.
"""

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


class ResidualUnit(nn.Module):
    """Two 3×3 convolutions with batch norm, before each a ReLU, beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(layer for _ in range(2) for layer in _step(channels)))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        refined: Tensor = x + self.body(x)
        return refined


class DptNeck(nn.Module):
    """DPT's, with the promise of ``Pyramid``: RefineNet fusion from coarse to fine, full width at every level.

    It differs from DPT where that changes no function: a level's 1×1 convolution comes before the enlargement instead
    of after it; there is none behind the 3×3 one at its entry, as two linear maps in a row are one; the coarsest level
    has no unit for a coarser one. Enlargement does not align corners, and the finest level stays at 1/4.

    Args:
        inputs: channel counts of the backbone at strides 4, 8, 16, 32.
        channels: channels of the fusion and of the three coarse levels.
        fine_channels: channels of the fine level.
    """

    def __init__(self, inputs: list[int], channels: int, fine_channels: int) -> None:
        super().__init__()
        self.enter = nn.ModuleList(nn.Conv2d(count, channels, 3, padding=1, bias=False) for count in inputs)
        self.skip = nn.ModuleList(ResidualUnit(channels) for _ in inputs[:-1])
        self.merge = nn.ModuleList(
            nn.Sequential(ResidualUnit(channels), nn.Conv2d(channels, outputs, 1))
            for outputs in (fine_channels, channels, channels, channels)
        )

    def forward(self, features: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return (fine B×F×H/4×W/4, [B×C at 1/8, 1/16, 1/32])."""
        entered = [enter(x) for enter, x in zip(self.enter, features, strict=True)]
        paths = [self.merge[3](entered[3])]
        for level in (2, 1, 0):
            size = entered[level].shape[-2:]
            lifted = F.interpolate(paths[0], size=size, mode='bilinear', align_corners=False)
            paths.insert(0, self.merge[level](lifted + self.skip[level](entered[level])))
        return paths[0], paths[1:]


def _step(channels: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    # Not in place: the unit's own input is added at its end.
    return nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)


DECONVOLUTIONS = 3
START_STD = 0.001


class SharedDecoder(nn.Module):
    """SwinMTL's (papers.md §2.1): the last feature map alone, enlarged eight times by deconvolutions, no skips.

    The published decoder goes on to the full size by two bilinear doublings before its heads. Ours work at a quarter,
    which is the size of the contract's maps; the robot enlarges their answer instead, at a sixteenth of the work.

    Args:
        inputs: channels of the backbone's features; only the last counts.
        channels: between the deconvolutions.
        fine_channels: of the result.
    """

    def __init__(self, inputs: list[int], channels: int, fine_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for count in (inputs[-1], *[channels] * (DECONVOLUTIONS - 1)):
            layers += [nn.ConvTranspose2d(count, channels, 2, 2, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [
            nn.Conv2d(channels, fine_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(fine_channels),
            nn.ReLU(),
        ]
        self.layers = nn.Sequential(*layers)
        start_small(self)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return (fine B×F×H/4×W/4, nothing coarser)."""
        return self.layers(features[-1]), []


def dense_head(channels: int) -> nn.Sequential:
    """What each head has of its own before its last convolution."""
    head = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
    start_small(head)
    return head


def start_small(module: nn.Module) -> None:
    """Weights from N(0, 0.001), as in the published code."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=START_STD)
