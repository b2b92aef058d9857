# SPDX-License-Identifier: Apache-2.0
"""The network: shapes, sizes, gradients, and what changes between training and use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cast_train.engine.recipe import StudentSection
from cast_train.errors import TrainingError
from cast_train.models import SIZES, StudentNetwork
from cast_train.models.backbones import make_backbone
from cast_train.models.queries import BLOCKED, Attention


@pytest.fixture(scope='module')
def nano() -> StudentNetwork:
    torch.manual_seed(0)
    return StudentNetwork('nano', classes=5, thing_ids=(3, 4))


def test_training_gives_every_level_and_the_dense_aid(nano: StudentNetwork) -> None:
    output = nano.train()(torch.zeros(2, 3, 64, 128, dtype=torch.uint8))
    assert len(output.levels) == 4
    assert output.levels[-1].class_logits.shape == (2, 64, 6)
    assert output.levels[0].mask_logits.shape == (2, 64, 8, 16)
    assert output.levels[-1].mask_logits.shape == (2, 64, 16, 32)
    assert output.levels[1].boxes.shape == (2, 64, 4)
    assert output.heat.shape == (2, 2, 8, 16)
    assert output.log_depth.shape == (2, 16, 32)
    assert output.dense_logits is not None
    assert output.dense_logits.shape == (2, 5, 8, 16)


def test_use_gives_the_last_level_alone_and_the_same_as_training_would(nano: StudentNetwork) -> None:
    picture = torch.randint(0, 255, (1, 3, 64, 128), dtype=torch.uint8)
    output = nano.eval()(picture)
    assert len(output.levels) == 1
    assert output.dense_logits is None
    assert torch.equal(nano(picture).levels[0].mask_logits, output.levels[0].mask_logits)


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = StudentNetwork('nano', classes=3, thing_ids=(2,)).train()
    output = network(torch.randint(0, 255, (2, 3, 64, 128), dtype=torch.uint8))
    assert output.dense_logits is not None
    parts = [part for level in output.levels for part in level]
    torch.stack(
        [part.square().mean() for part in (*parts, output.heat, output.log_depth, output.dense_logits)]
    ).sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A key's bias shifts all scores of a query alike, so the softmax forgets it.
    assert [name for name in silent if not name.endswith('key.bias')] == []


def test_a_relative_of_a_size_has_what_it_is_asked_for() -> None:
    section = StudentSection.model_validate(
        {
            'size': 'nano',
            'widths': {'peaks': 6, 'learned': 10, 'layers': 2, 'light_depth': True},
            'depth_form': 'linear',
        }
    )
    torch.manual_seed(0)
    network = StudentNetwork(section.architecture, classes=5, thing_ids=(3, 4)).train()
    output = network(torch.zeros(2, 3, 64, 128, dtype=torch.uint8))
    assert len(output.levels) == 3
    assert output.levels[-1].class_logits.shape == (2, 16, 6)
    assert output.log_depth.exp().mean().item() == pytest.approx(15, rel=0.1)
    light, heavy = (
        sum(p.numel() for p in one.depth.parameters()) for one in (network, StudentNetwork('nano', 5, (3, 4)))
    )
    assert light < heavy / 4
    assert StudentSection(size='nano').architecture == SIZES['nano']


def test_small_stays_small() -> None:
    counts = {
        size: sum(p.numel() for p in StudentNetwork(size, classes=11, thing_ids=(8, 9, 10)).parameters()) / 1e6
        for size in SIZES
    }
    assert counts['nano'] < 0.75
    assert counts['small'] < 2.1


def test_a_query_whose_mask_is_empty_attends_everywhere() -> None:
    torch.manual_seed(0)
    attention = Attention(32)
    queries, keys = torch.randn(1, 2, 32), torch.randn(1, 6, 32)
    free = attention(queries, keys, keys)
    blocked = attention(queries, keys, keys, torch.full((1, 2, 6), BLOCKED))
    assert torch.allclose(free, blocked, atol=1e-2)
    only_first = torch.full((1, 2, 6), BLOCKED)
    only_first[..., 0] = 0
    assert torch.allclose(
        attention(queries, keys, keys, only_first),
        attention.out(attention.value(keys[:, :1])).expand(1, 2, 32),
        atol=1e-5,
    )


def test_backbone_weights_come_from_a_file_and_a_wrong_file_is_named(tmp_path: Path) -> None:
    source, _ = make_backbone('mobilenetv4_conv_small_050')
    save_file(source.state_dict(), tmp_path / 'right.safetensors')
    loaded, _ = make_backbone('mobilenetv4_conv_small_050', tmp_path / 'right.safetensors')
    assert torch.equal(next(source.parameters()), next(loaded.parameters()))
    with pytest.raises(TrainingError, match=r'absent\.safetensors: no such file'):
        make_backbone('mobilenetv4_conv_small_050', tmp_path / 'absent.safetensors')
    save_file({'something': torch.zeros(1)}, tmp_path / 'other.safetensors')
    with pytest.raises(TrainingError, match='tensors are missing'):
        make_backbone('mobilenetv4_conv_small_050', tmp_path / 'other.safetensors')
