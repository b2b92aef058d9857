# SPDX-License-Identifier: Apache-2.0
"""From encoder features to the embeddings that CAST contrasts: papers.md §1.2, §1.3."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cast_train.models.student import Student

# Channels between the layers of a head, and the length D of an embedding.
HIDDEN, DIMENSION = 128, 128


class Projection(nn.Module):
    """Three 1×1 convolutions without biases, ReLU between them: the MLP of CAST at every cell of a feature map.

    Args:
        inputs: channels of the feature map.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, HIDDEN, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN, HIDDEN, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN, DIMENSION, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map B×C×h×w to B×D×h×w of unit length in float32, under autocast too; a dead cell stays zero."""
        embedded = self.layers(features)
        return F.normalize(embedded.to(torch.promote_types(embedded.dtype, torch.float32)), dim=1)


class ContrastHead(nn.Module):
    """The embeddings of both views, with the gradient rules of CAST: the weak view learns, the strong one is a target.

    Args:
        inputs: channels of the feature map.
        published: embed the strong view with a copy that stays as it was at the start, which is what the second head of
            the published code amounts to. The paper's form shares one learned head.
    """

    def __init__(self, inputs: int, published: bool = False) -> None:
        super().__init__()
        self.projection = Projection(inputs)
        self.frozen = copy.deepcopy(self.projection).requires_grad_(False) if published else None

    def weak(self, features: Tensor) -> Tensor:
        """Embed B×C×h×w features of the weak view; the gradient reaches them and the head."""
        embedded: Tensor = self.projection(features)
        return embedded

    @torch.no_grad()
    def strong(self, features: Tensor) -> Tensor:
        """Embed B×C×h×w features of the strong view, without gradient."""
        head = self.projection if self.frozen is None else self.frozen
        embedded: Tensor = head(features)
        return embedded


@torch.no_grad()
def encode_strong(student: Student, images: Tensor) -> list[Tensor]:
    """Backbone features of the strong view, without gradient and without a trace in the batch norms.

    The running means and variances are those of the pictures that a robot sees; a second pass over distorted ones must
    not shift them. The batch's own statistics normalise it while the student trains, as for the weak view.
    """
    norms = [module for module in student.backbone.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        return student.encode(images)
    finally:
        for norm, (momentum, tracked) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
