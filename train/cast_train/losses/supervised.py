# SPDX-License-Identifier: Apache-2.0
"""The supervised objective: every term that labels can teach, weighted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cast_train.data.augment import Targets
from cast_train.losses.centre import centre_loss
from cast_train.losses.depth import depth_loss
from cast_train.losses.mask_set import MaskSetWeights, mask_set_loss
from cast_train.losses.semantic import composed_semantic_loss, dense_semantic_loss
from cast_train.models import StudentOutput
from cast_train.settings import Weight


class LossSection(MaskSetWeights):
    """Weights of the losses; zero switches one off."""

    centre: Weight = 2.0
    depth: Weight = 5.0
    composed_semantic: Weight = 2.0
    dense_semantic: Weight = 2.0


def supervised_losses(
    output: StudentOutput, targets: Sequence[Targets], weights: LossSection, thing_ids: Sequence[int]
) -> dict[str, Tensor]:
    """All weighted terms over B pictures, in float32 even where the network ran in bfloat16."""
    terms: dict[str, Tensor] = {}
    with torch.autocast(output.log_depth.device.type, enabled=False):
        if output.heat is not None:
            terms |= mask_set_loss(output.levels, targets, weights, thing_ids)
            terms['centre'] = weights.centre * centre_loss(output.heat, targets, thing_ids)
        terms['depth'] = weights.depth * depth_loss(output.log_depth, targets)
        if output.levels:
            terms['composed_semantic'] = weights.composed_semantic * composed_semantic_loss(output.levels[-1], targets)
        if output.dense_logits is not None:
            terms['dense_semantic'] = weights.dense_semantic * dense_semantic_loss(output.dense_logits, targets)
    return terms
