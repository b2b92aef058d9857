# SPDX-License-Identifier: Apache-2.0
"""AdamW and its schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cast_train.engine.recipe import OptimizerSection
from cast_train.errors import TrainingError

# In names of what must not shrink: embeddings, ours and those of vision transformers, and SwinV2's position biases and
# temperatures.
UNDECAYED = ('embedding', 'pos_embed', 'cls_token', 'cpb_mlp', 'logit_scale')


def make_optimizer(network: nn.Module, settings: OptimizerSection) -> torch.optim.Optimizer:
    """AdamW without weight decay on norms, biases and embeddings; the network's backbone at its own learning rate.

    Parameters that need no gradient are left out.

    Raises:
        TrainingError: the rate is to fall from block to block of a backbone that has none.
    """
    groups: dict[tuple[bool, int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            own = name.removeprefix('network.')
            is_backbone = own.startswith('backbone.')
            blocks = 0
            if is_backbone and settings.layer_decay < 1:
                blocks = _blocks_after(network, own.removeprefix('backbone.'))
            decays = parameter.ndim > 1 and not any(part in name for part in UNDECAYED)
            groups.setdefault((is_backbone, blocks, decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                'params': parameters,
                'weight_decay': settings.weight_decay if decays else 0.0,
                'factor': settings.backbone_factor * settings.layer_decay**blocks if is_backbone else 1.0,
            }
            for (is_backbone, blocks, decays), parameters in sorted(groups.items(), reverse=True)
        ],
        lr=settings.learning_rate,
        fused=True,
    )


def _blocks_after(network: nn.Module, name: str) -> int:
    backbone: Any = getattr(network, 'network', network).backbone
    if not hasattr(backbone, 'blocks_after'):
        raise TrainingError('optimizer.layer_decay needs a backbone of blocks, such as those of swinmtl; leave it at 1')
    blocks: int = backbone.blocks_after(name)
    return blocks


def learning_rate_at(step: int, settings: OptimizerSection, total_steps: int) -> float:
    """Of the schedule: see ``OptimizerSection``; polynomials as in SwinMTL and in most segmentation recipes."""
    least, largest = settings.least_learning_rate, settings.learning_rate
    if settings.schedule == 'rise_and_fall':
        half = total_steps / 2
        share = (step / half) ** settings.power if step < half else (2 - step / half) ** settings.power
        return float(least + (largest - least) * share)
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    return float(least + (largest - least) * (1 - progress) ** settings.power)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of the rate."""
    for group in optimizer.param_groups:
        group['lr'] = rate * group['factor']
