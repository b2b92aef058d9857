# SPDX-License-Identifier: Apache-2.0
"""AdamW and its schedule."""

from __future__ import annotations

import torch
from torch import nn

from cast_train.engine.recipe import OptimizerSection

# In names of embeddings, ours and those of vision transformers.
EMBEDDINGS = ('embedding', 'pos_embed', 'cls_token')


def make_optimizer(network: nn.Module, settings: OptimizerSection) -> torch.optim.Optimizer:
    """AdamW without weight decay on norms, biases and embeddings; the student's backbone at its own learning rate.

    Parameters that need no gradient are left out.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_backbone = name.removeprefix('student.').startswith('backbone.')
            decays = parameter.ndim > 1 and not any(part in name for part in EMBEDDINGS)
            groups.setdefault((is_backbone, decays), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                'params': parameters,
                'weight_decay': settings.weight_decay if decays else 0.0,
                'factor': settings.backbone_factor if is_backbone else 1.0,
            }
            for (is_backbone, decays), parameters in sorted(groups.items(), reverse=True)
        ],
        lr=settings.learning_rate,
        fused=True,
    )


def learning_rate_at(step: int, settings: OptimizerSection, total_steps: int) -> float:
    """Linear warm-up, then polynomial decay to zero at the last step."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    return float(settings.learning_rate * (1 - progress) ** settings.power)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of the rate."""
    for group in optimizer.param_groups:
        group['lr'] = rate * group['factor']
