# SPDX-License-Identifier: Apache-2.0
"""RF-DETR segmentation, nano, as its own package builds and prepares it for export; it takes squares of 312 pixels."""

from __future__ import annotations

from rfdetr import RFDETRSegNano
from torch import Tensor, nn

OUTPUTS = ('boxes', 'class_logits', 'mask_logits')


class RfDetr(nn.Module):
    """Maps a normalised picture 1×3×312×312 to boxes 1×N×4 (centre, size; 0…1), logits 1×N×C and masks 1×N×h×w."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.network = RFDETRSegNano(pretrain_weights=None, device='cpu').model.model
        self.network.export()

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, class logits and mask logits."""
        boxes, classes, masks = self.network(picture)
        return boxes, classes, masks
