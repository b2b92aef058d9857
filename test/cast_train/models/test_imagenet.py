# SPDX-License-Identifier: Apache-2.0
"""ImageNet weights from a package."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from cast_train.errors import TrainingError
from cast_train.models.backbones import make_backbone
from cast_train.models.imagenet import NETWORK, convert_efficientnet_lite0


def test_weights_under_other_names_reach_the_same_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model(NETWORK, pretrained=False)
    source, out = tmp_path / 'other.pth', tmp_path / 'weights' / 'lite0.safetensors'
    torch.save({f'other.{index}': tensor for index, tensor in enumerate(network.state_dict().values())}, source)
    assert convert_efficientnet_lite0(source, out) == len(network.state_dict())
    backbone, _ = make_backbone(NETWORK, out)
    assert torch.equal(backbone.state_dict()['blocks.3.1.conv_dw.weight'], network.blocks[3][1].conv_dw.weight)


@pytest.mark.parametrize(
    ('content', 'message'),
    [(None, 'no such file'), ({'a': torch.zeros(3)}, 'holds 1 tensors that are not those'), ('text', 'cannot be read')],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: object, message: str) -> None:
    source = tmp_path / 'other.pth'
    if isinstance(content, dict):
        torch.save(content, source)
    elif content is not None:
        source.write_text(str(content))
    with pytest.raises(TrainingError, match=message):
        convert_efficientnet_lite0(source, tmp_path / 'out.safetensors')
