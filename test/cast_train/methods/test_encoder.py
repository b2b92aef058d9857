# SPDX-License-Identifier: Apache-2.0
"""Pretraining a small backbone without labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import yaml
from drawn_streets import draw_streets
from safetensors.torch import save_file

from cast_train.data import Batch
from cast_train.engine.recipe_file import load
from cast_train.errors import RecipeError
from cast_train.methods.encoder import EncoderRecipe, EncoderTask, fit_encoder
from cast_train.models import StudentNetwork
from cast_train.models.backbones import make_backbone

GUIDE = 'mobilenetv4_conv_small_050'


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    draw_streets(tmp_path / 'streets', 'train', 'day', frames=2)
    weights = tmp_path / 'guide.safetensors'
    save_file(timm.create_model(GUIDE, pretrained=False).state_dict(), weights)
    part = [{'split': 'train', 'domain': 'day'}]
    document = {
        'method': 'encoder',
        'name': 'tiny-encoder',
        'size': 'nano',
        'guide': {'backbone': GUIDE, 'weights': str(weights)},
        'data': {'dataset': 'streets', 'root': str(tmp_path / 'streets'), 'train': part, 'validation': part},
        'phases': [{'height': 64, 'width': 128, 'batch': 2, 'steps': 2}],
        'run': {'workers': 0},
    }
    path = tmp_path / 'encoder.yaml'
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_weights_start_a_student(recipe_file: Path, tmp_path: Path) -> None:
    out = tmp_path / 'weights' / 'nano.safetensors'
    fit_encoder(load(EncoderRecipe, recipe_file), tmp_path / 'run', out, resume=False)
    fresh = StudentNetwork('nano', classes=3, thing_ids=(2,))
    started = StudentNetwork('nano', classes=3, thing_ids=(2,), backbone_weights=out)
    name, tensor = next(iter(started.backbone.state_dict().items()))
    assert not torch.equal(fresh.backbone.state_dict()[name], tensor)


def test_only_the_backbone_and_the_projections_learn() -> None:
    torch.manual_seed(0)
    task = EncoderTask(StudentNetwork('nano', classes=3, thing_ids=(2,)), *make_backbone(GUIDE))
    learned = {name.split('.')[0] + '.' + name.split('.')[1] for name, p in task.named_parameters() if p.requires_grad}
    assert learned == {'network.backbone', 'projections.0', 'projections.1', 'projections.2'}
    assert not task.train().guide.training


def test_the_loss_falls_on_a_batch_seen_again_and_again() -> None:
    torch.manual_seed(0)
    task = EncoderTask(StudentNetwork('nano', classes=3, thing_ids=(2,)), *make_backbone(GUIDE)).train()
    batch = Batch(torch.randint(0, 255, (4, 3, 64, 128), dtype=torch.uint8), [], labelled=4)
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], 1e-2)
    totals = []
    for step in range(12):
        total = sum(task(batch, step).values(), torch.zeros(()))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.7 * totals[0]


def test_an_unknown_guide_is_named(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"guide\.backbone is 'resnet'; known are"):
        load(EncoderRecipe, recipe_file, ('guide.backbone=resnet',))
