# SPDX-License-Identifier: Apache-2.0
"""Feature extractors, all with timm's networks; a closed table, so that a recipe can never name arbitrary code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import load_file
from torch import nn

from cast_train.errors import TrainingError
from cast_train.models.swin import BASE, MINI, Swin, SwinShape
from cast_train.models.vits import DINOV2_SMALL, MINIATURE, make_vit

STRIDES = (4, 8, 16, 32)


def make_backbone(name: str, weights: Path | None = None) -> tuple[nn.Module, list[int]]:
    """Return a network that maps B×3×H×W to features at strides 4, 8, 16 and 32, and their channel counts.

    Args:
        name: a key of ``BACKBONES``.
        weights: a file with the network's own state; None starts from random weights.

    Raises:
        TrainingError: the file is missing or is not of this network.
    """
    return BACKBONES[name](name, weights)


def _make_convolutional(name: str, weights: Path | None) -> tuple[nn.Module, list[int]]:
    network: Any = timm.create_model(name, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))
    if tuple(network.feature_info.reduction()) != STRIDES:
        raise TrainingError(
            f'backbone {name} has strides {network.feature_info.reduction()}, the decoder needs {STRIDES}'
        )
    if weights is not None:
        _load(network, weights, name)
    return network, list(network.feature_info.channels())


def _make_swin(shape: SwinShape, name: str, weights: Path | None) -> tuple[nn.Module, list[int]]:
    backbone = Swin(shape)
    if weights is not None:
        _load(backbone.network, weights, name)
    return backbone, backbone.channels


def _load(network: nn.Module, weights: Path, name: str) -> None:
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


BACKBONES: dict[str, Callable[[str, Path | None], tuple[nn.Module, list[int]]]] = {
    'mobilenetv4_conv_small_050': _make_convolutional,
    'mobilenetv4_conv_small': _make_convolutional,
    'mobilenetv4_conv_medium': _make_convolutional,
    'efficientnet_lite0': _make_convolutional,
    'vit_small_patch14_dinov2': partial(make_vit, DINOV2_SMALL),
    'vit_miniature': partial(make_vit, MINIATURE),
    'swinv2_base': partial(_make_swin, BASE),
    'swinv2_mini': partial(_make_swin, MINI),
}
