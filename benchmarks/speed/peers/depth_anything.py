# SPDX-License-Identifier: Apache-2.0
"""Depth Anything V2 small, as transformers has it, in the shape of its published configuration."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

OUTPUTS = ('depth',)


class DepthAnything(nn.Module):
    """Maps a normalised picture 1×3×H×W, H and W multiples of 14, to relative depth 1×H×W."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        backbone = Dinov2Config(
            hidden_size=384,
            num_hidden_layers=12,
            num_attention_heads=6,
            image_size=518,
            patch_size=14,
            out_features=['stage3', 'stage6', 'stage9', 'stage12'],
            reshape_hidden_states=False,
            apply_layernorm=True,
        )
        self.network = DepthAnythingForDepthEstimation(
            DepthAnythingConfig(
                backbone_config=backbone,
                reassemble_hidden_size=384,
                neck_hidden_sizes=[48, 96, 192, 384],
                fusion_hidden_size=64,
            )
        )

    def forward(self, picture: Tensor) -> Tensor:
        """Return depth."""
        depth: Tensor = self.network(picture).predicted_depth
        return depth
