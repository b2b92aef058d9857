# SPDX-License-Identifier: Apache-2.0
"""SwinMTL's network: its size, what its decoder looks at, and that the robot can run it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drawn_streets import draw_streets
from safetensors.torch import save_file
from tiny_recipe import tiny_recipe

from cast_ros.student import Student
from cast_train.data.batches import load_samples
from cast_train.data.streets import CLASSES, Streets
from cast_train.errors import TrainingError
from cast_train.export.onnx import export_onnx
from cast_train.export.parity import check_parity
from cast_train.models import SIZES, StudentNetwork, TorchStudent
from cast_train.models.backbones import make_backbone
from cast_train.models.decoder import SharedDecoder
from cast_train.models.depth import FORMS


def mini(classes: int = 11) -> StudentNetwork:
    torch.manual_seed(0)
    return StudentNetwork('swinmtl-mini', classes, (8, 9, 10))


def test_the_large_one_has_the_published_number_of_parameters() -> None:
    network = StudentNetwork('swinmtl', classes=20, thing_ids=())
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(87.39, abs=0.01)


@pytest.mark.parametrize('size', [(64, 128), (96, 160)])
def test_features_have_the_strides_of_every_backbone_whatever_the_size(size: tuple[int, int]) -> None:
    height, width = size
    output = mini().eval()(torch.zeros(2, 3, height, width))
    expected = [(height // stride, width // stride) for stride in (4, 8, 16, 32)]
    assert [tuple(features.shape[-2:]) for features in output.encoded] == expected
    assert output.log_depth.shape == (2, height // 4, width // 4)
    assert output.class_scores().shape == (2, 11, height // 4, width // 4)
    assert (output.levels, output.heat) == ([], None)


def test_depth_starts_at_fifteen_metres_in_every_form() -> None:
    for form in FORMS:
        depth_m = (
            StudentNetwork(replace(SIZES['swinmtl-mini'], depth=form), 3, ())
            .eval()(torch.zeros(1, 3, 64, 64))
            .log_depth.exp()
        )
        assert depth_m.mean().item() == pytest.approx(15.0, rel=0.05), form


def test_the_decoder_has_no_skip_connections() -> None:
    decoder = SharedDecoder([8, 16, 32, 64], 8, 16).eval()
    features = [torch.randn(1, count, 32 // 2**place, 64 // 2**place) for place, count in enumerate((8, 16, 32, 64))]
    blind = [*(torch.zeros_like(level) for level in features[:3]), features[3]]
    assert torch.equal(decoder(features)[0], decoder(blind)[0])


def test_blocks_are_counted_from_the_last_one_back() -> None:
    backbone, channels = make_backbone('swinv2_mini')
    counts = {name: backbone.blocks_after(name) for name, _ in backbone.named_parameters()}
    assert channels == [24, 48, 96, 192]
    assert counts['network.norm.weight'] == 0
    assert counts['network.layers.3.blocks.0.mlp.fc1.weight'] == 1
    assert counts['network.layers.2.blocks.2.mlp.fc1.weight'] == 2
    assert counts['network.layers.2.downsample.norm.weight'] == counts['network.layers.2.blocks.0.norm1.weight'] == 4
    assert counts['network.layers.0.blocks.0.attn.qkv.weight'] == 6
    assert counts['network.patch_embed.proj.weight'] == 7


def test_backbone_weights_come_from_a_file_and_a_wrong_file_is_named(tmp_path: Path) -> None:
    backbone, _ = make_backbone('swinv2_mini')
    state = {name: tensor.contiguous() for name, tensor in backbone.network.state_dict().items()}
    save_file(state, tmp_path / 'own.safetensors')
    network = StudentNetwork('swinmtl-mini', 3, (), tmp_path / 'own.safetensors')
    first = next(iter(state))
    assert torch.equal(network.backbone.network.state_dict()[first], state[first])
    with pytest.raises(TrainingError, match=r'absent.safetensors: no such file'):
        StudentNetwork('swinmtl-mini', 3, (), tmp_path / 'absent.safetensors')
    save_file({'other': torch.zeros(1)}, tmp_path / 'other.safetensors')
    with pytest.raises(TrainingError, match='not the weights of swinv2_mini'):
        StudentNetwork('swinmtl-mini', 3, (), tmp_path / 'other.safetensors')


def test_it_exports_to_the_contract_without_instances(tmp_path: Path) -> None:
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=2)
    samples = list(load_samples([Streets(tmp_path / 'streets', 'train', 'day')]))
    recipe = tiny_recipe(tmp_path / 'streets', steps=1, student={'size': 'swinmtl-mini'})
    contract = recipe.contract_for(CLASSES)
    assert contract.outputs == ('semantic', 'depth')
    network = mini().eval()
    path = tmp_path / 'swinmtl.onnx'
    export_onnx(network, contract, path)
    check_parity(path, TorchStudent(network, contract), samples).require(path)
    with Student.load(path) as exported:
        answer = exported.predict(samples[0].image)
    assert answer.boxes is None
    assert answer.semantic is not None
    assert answer.depth is not None


def test_every_parameter_learns() -> None:
    network = mini().train()
    for layer in network.backbone.modules():
        # SwinV2 starts with all blocks switched off by their norms.
        if isinstance(layer, torch.nn.LayerNorm):
            torch.nn.init.ones_(layer.weight)
    output = network(torch.rand(2, 3, 64, 128) * 255)
    (output.log_depth.square().sum() + output.class_scores().square().sum()).backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert still == []
