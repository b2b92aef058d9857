# SPDX-License-Identifier: Apache-2.0
"""SwinV2 as a backbone, with timm's network: the encoder of SwinMTL (papers.md §2.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn

STAGES = 4
_PLACE = re.compile(r'network\.layers\.(\d+)\.(blocks\.(\d+)\.|downsample\.)')


@dataclass(frozen=True)
class SwinShape:
    """A SwinV2.

    Attributes:
        width: channels of the first stage; each further one has twice as many.
        depths: blocks of each stage. heads: attention heads of each.
        windows: side of each stage's windows, in tokens.
        pretrained_windows: the same at pretraining, whose position biases are laid out for; zero without one.
        drop_path: largest chance of leaving out a block while training.
    """

    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    windows: tuple[int, int, int, int]
    pretrained_windows: tuple[int, int, int, int]
    drop_path: float


# As in the published code: Swin-B, whose SimMIM pretraining saw windows of half the size.
BASE = SwinShape(128, (2, 2, 18, 2), (4, 8, 16, 32), (22, 22, 22, 11), (12, 12, 12, 6), 0.3)
# What two CPU cores can train: a quarter of Swin-T's width, half of its blocks. Nothing is pretrained.
MINI = SwinShape(24, (1, 1, 3, 1), (1, 2, 4, 8), (8, 8, 8, 4), (0, 0, 0, 0), 0.1)


class Swin(nn.Module):
    """Maps B×3×H×W, normalised, H and W multiples of 32, to four feature maps at strides 4, 8, 16 and 32."""

    def __init__(self, shape: SwinShape) -> None:
        super().__init__()
        self.network = SwinTransformerV2(
            num_classes=0,
            global_pool='',
            embed_dim=shape.width,
            depths=shape.depths,
            num_heads=shape.heads,
            window_size=shape.windows,
            pretrained_window_sizes=shape.pretrained_windows,
            drop_path_rate=shape.drop_path,
            always_partition=True,
            strict_img_size=False,
            dynamic_img_size=True,
        )
        self.channels = [shape.width * 2**stage for stage in range(STAGES)]
        self._depths = shape.depths

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four maps, finest first; the last one is normalised, as in timm and in the published code."""
        features: Any = self.network.forward_intermediates(
            images, indices=STAGES, norm=True, output_fmt='NCHW', intermediates_only=True
        )
        return list(features)

    def blocks_after(self, name: str) -> int:
        """How many blocks come after the one that a parameter belongs to; for layer-wise decay of the rate.

        What merges patches before a stage counts as part of its first block, the embedding as before all blocks, and
        the last norm as after them.
        """
        if name.startswith('network.norm.'):
            return 0
        place = _PLACE.search(name)
        if place is None:
            return sum(self._depths) + 1
        stage, block = int(place[1]), int(place[3] or 0)
        return sum(self._depths) - sum(self._depths[:stage]) - block
