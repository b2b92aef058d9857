# SPDX-License-Identifier: Apache-2.0
"""SwinMTL's decoder, shared by depth and segmentation, and the start of its heads (papers.md §2.1)."""

from __future__ import annotations

from torch import Tensor, nn

DECONVOLUTIONS = 3
START_STD = 0.001


class SharedDecoder(nn.Module):
    """The last feature map alone, enlarged eight times by deconvolutions: no skip connections.

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
