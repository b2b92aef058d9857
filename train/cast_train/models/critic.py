# SPDX-License-Identifier: Apache-2.0
"""The critic of SwinMTL: how far depth and classes of a picture, taken together, look like the truth."""

from __future__ import annotations

from torch import Tensor, nn

# Of the published code (papers.md §2.2), but for its batch norms: with them the score of a picture depends on its
# batch, and the gradient penalty is no longer one picture's (papers.md §2.4, quirk 4).
WIDTHS = (64, 128, 256, 512)
SLOPE = 0.2


class Critic(nn.Module):
    """Maps B×(1+C)×h×w to B scores of any size; h and w are at least 8.

    Three convolutions of stride 2 and two of stride 1, as published. The last two have kernels of 3 instead of 4, so
    that maps at a quarter of small pictures suffice, and the last has one channel in place of the mean of two.
    """

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.layers = nn.Sequential(
            nn.Conv2d(1 + classes, first, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(second, third, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(third, fourth, 3, 1, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(fourth, 1, 3, 1, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B,) scores: the mean over places."""
        scores: Tensor = self.layers(maps).mean((1, 2, 3))
        return scores
