# SPDX-License-Identifier: Apache-2.0
"""A backbone's own state from a safetensors file."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from cast_train.errors import TrainingError


def load_backbone_weights(network: nn.Module, weights: Path, name: str) -> None:
    """Load the state of a timm network; tensors that it does not know, such as a classifier's, are left out.

    Raises:
        TrainingError: the file is missing, or lacks a tensor of this network.
    """
    if not weights.is_file():
        raise TrainingError(f'{weights}: no such file; backbone {name} expects its safetensors weights there')
    missing, unexpected = network.load_state_dict(load_file(weights), strict=False)
    if missing:
        raise TrainingError(
            f'{weights}: not the weights of {name}: {len(missing)} tensors are missing, first {missing[0]}; '
            f'{len(unexpected)} are unknown'
        )
