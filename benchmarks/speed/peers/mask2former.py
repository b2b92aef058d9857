# SPDX-License-Identifier: Apache-2.0
"""Mask2Former with Swin-T, as transformers has it, in the shape of its published COCO instance configuration."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

OUTPUTS = ('class_logits', 'mask_logits')
CLASSES = 80


class Mask2Former(nn.Module):
    """Maps a normalised picture 1×3×H×W to class logits 1×100×81 and mask logits 1×100×H/4×W/4."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        backbone = SwinConfig(
            embed_dim=96,
            depths=[2, 2, 6, 2],
            num_heads=[3, 6, 12, 24],
            window_size=7,
            out_features=['stage1', 'stage2', 'stage3', 'stage4'],
        )
        self.network = Mask2FormerForUniversalSegmentation(
            Mask2FormerConfig(backbone_config=backbone, num_labels=CLASSES)
        )

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return class and mask logits of the last layer."""
        output = self.network(picture)
        return output.class_queries_logits, output.masks_queries_logits
