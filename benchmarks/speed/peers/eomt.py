# SPDX-License-Identifier: Apache-2.0
"""EoMT with ViT-S/16 (Kerssies et al., CVPR 2025), in its own words.

Queries are appended to the tokens of a plain vision transformer before its last blocks, and there is no decoder: a mask
is the product of a query with the patch tokens, enlarged to 1/4. That of transformers takes squares alone and does not
export. The masked attention of its training is annealed away at inference, so it is not here either.
"""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

OUTPUTS = ('class_logits', 'mask_logits')
PATCH, WIDTH = 16, 384
CLASSES, QUERIES, JOINT_BLOCKS = 80, 200, 3


class Eomt(nn.Module):
    """Maps a normalised picture 1×3×H×W, H and W multiples of 16, to logits 1×200×81 and masks 1×200×H/4×W/4."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.grid = height // PATCH, width // PATCH
        # A grid of positions of the picture's own size: nothing is interpolated at inference.
        self.encoder = timm.create_model(
            'vit_small_patch16_224', pretrained=False, img_size=(height, width), num_classes=0, init_values=1e-5
        )
        self.queries = nn.Parameter(torch.randn(1, QUERIES, WIDTH) * 0.02)
        self.classify = nn.Linear(WIDTH, CLASSES + 1)
        self.mask = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)
        )
        self.enlarge = nn.Sequential(Enlargement(WIDTH), Enlargement(WIDTH))

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return class and mask logits."""
        tokens = self.encoder._pos_embed(self.encoder.patch_embed(picture))
        first_joint = len(self.encoder.blocks) - JOINT_BLOCKS
        for index, block in enumerate(self.encoder.blocks):
            if index == first_joint:
                tokens = torch.cat([self.queries, tokens], 1)
            tokens = block(tokens)
        tokens = self.encoder.norm(tokens)
        queries, patches = tokens[:, :QUERIES], tokens[:, QUERIES + 1 :]
        features = self.enlarge(patches.transpose(1, 2).unflatten(2, self.grid))
        masks = (self.mask(queries) @ features.flatten(2)).unflatten(2, features.shape[-2:])
        return self.classify(queries), masks


class Enlargement(nn.Module):
    """Doubles a map: a transposed convolution, a depthwise 3×3 one, and a norm over channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lift = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return B×C×2H×2W."""
        x = self.depthwise(F.gelu(self.lift(x)))
        normalised: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normalised
