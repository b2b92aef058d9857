# SPDX-License-Identifier: Apache-2.0
"""A light depth network for a fair comparison: FastDepth (Wofk et al., ICRA 2019) before its pruning.

The encoder is timm's MobileNet v1. Five steps of a depthwise 5×5 and a 1×1 convolution follow, each with a doubling by
nearest neighbour, and encoder features are added at 1/8, 1/4 and 1/2. It is about the least that a depth network of its
own costs; its depth is far coarser than Depth Anything's.
"""

from __future__ import annotations

import timm
from torch import Tensor, nn
from torch.nn import functional as F

OUTPUTS = ('depth',)
# Channels behind each step, from 1/32 to full size.
STEPS = (512, 256, 128, 64, 32)


class FastDepth(nn.Module):
    """Maps a normalised picture 1×3×H×W, H and W multiples of 32, to depth 1×H×W."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.encoder = timm.create_model('mobilenetv1_100', pretrained=False, features_only=True)
        channels = self.encoder.feature_info.channels()
        assert channels == [64, 128, 256, 512, 1024], channels
        self.steps = nn.ModuleList(
            _step(inputs, outputs) for inputs, outputs in zip((channels[-1], *STEPS[:-1]), STEPS, strict=True)
        )
        self.last = nn.Sequential(nn.Conv2d(STEPS[-1], 1, 1, bias=False), nn.BatchNorm2d(1), nn.ReLU(inplace=True))

    def forward(self, picture: Tensor) -> Tensor:
        """Return depth."""
        half, quarter, eighth, _, x = self.encoder(picture)
        added = {1: eighth, 2: quarter, 3: half}
        for index, step in enumerate(self.steps):
            x = F.interpolate(step(x), scale_factor=2, mode='nearest')
            if index in added:
                x = x + added[index]
        depth: Tensor = self.last(x)[:, 0]
        return depth


def _step(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 5, padding=2, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
