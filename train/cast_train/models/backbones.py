# SPDX-License-Identifier: Apache-2.0
"""Feature extractors, all from timm; a closed table, so that a recipe can never name arbitrary code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from safetensors.torch import load_file
from torch import nn

from cast_train.errors import TrainingError

BACKBONES = {
    'mobilenetv4_conv_small_050': 'mobilenetv4_conv_small_050',
    'mobilenetv4_conv_small': 'mobilenetv4_conv_small',
    'mobilenetv4_conv_medium': 'mobilenetv4_conv_medium',
}
STRIDES = (4, 8, 16, 32)


def make_backbone(name: str, weights: Path | None = None) -> tuple[nn.Module, list[int]]:
    """Return a network that maps B×3×H×W to features at strides 4, 8, 16 and 32, and their channel counts.

    Args:
        name: a key of ``BACKBONES``.
        weights: a safetensors file with the network's own state; None starts from random weights.

    Raises:
        TrainingError: the file is missing or is not of this network.
    """
    network: Any = timm.create_model(BACKBONES[name], pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))
    if tuple(network.feature_info.reduction()) != STRIDES:
        raise TrainingError(
            f'backbone {name} has strides {network.feature_info.reduction()}, the decoder needs {STRIDES}'
        )
    if weights is not None:
        if not weights.is_file():
            raise TrainingError(f'{weights}: no such file; backbone {name} expects its safetensors weights there')
        missing, unexpected = network.load_state_dict(load_file(weights), strict=False)
        if missing:
            raise TrainingError(
                f'{weights}: not the weights of {name}: {len(missing)} tensors are missing, first {missing[0]}; '
                f'{len(unexpected)} are unknown'
            )
    return network, list(network.feature_info.channels())
