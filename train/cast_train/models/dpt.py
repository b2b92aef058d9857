# SPDX-License-Identifier: Apache-2.0
"""DPT's neck, as CAST's student has it: RefineNet fusion from coarse to fine, full width at every level."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


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
    """The same promise as ``Pyramid``: coarse levels at 1/8, 1/16, 1/32 and a fine level at 1/4.

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
