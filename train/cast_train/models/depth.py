# SPDX-License-Identifier: Apache-2.0
"""The depth head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cast_train.models.decoder import ConvNormAct, SeparableConv


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
