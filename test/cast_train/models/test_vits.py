# SPDX-License-Identifier: Apache-2.0
"""DINOv2 with DPT's neck: the same promises as every other size, and weights from wherever they were published."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cast_ros.student import ClassInfo, DepthSpec, InputSpec, Student, StudentContract
from cast_train.data import Sample
from cast_train.engine.optimizer import make_optimizer
from cast_train.engine.recipe import OptimizerSection, Recipe
from cast_train.engine.recipe_file import load
from cast_train.errors import TrainingError
from cast_train.export.onnx import export_onnx
from cast_train.export.parity import check_parity
from cast_train.models import StudentNetwork, StudentSize, TorchStudent
from cast_train.models.backbones import make_backbone
from cast_train.models.decoder import DptNeck
from cast_train.models.graph import OUTPUTS
from cast_train.models.vits import MINIATURE, Vit

TINY = StudentSize('vit_miniature', 32, 32, 16, peaks=20, learned=8, layers=4, feed_factor=2, neck='dpt')
CLASSES = tuple(
    ClassInfo(id=i, name=name, is_thing=i > 1, color=(i, 0, 0))
    for i, name in enumerate(('road', 'sky', 'person', 'car'))
)


@pytest.fixture
def tiny() -> StudentNetwork:
    torch.manual_seed(0)
    return StudentNetwork(TINY, len(CLASSES), (2, 3)).eval()


@pytest.fixture
def state(tiny: StudentNetwork) -> dict[str, Tensor]:
    """Of the transformer alone, under timm's names."""
    return tiny.get_submodule('backbone.network').state_dict()


@pytest.mark.parametrize(('height', 'width'), [(64, 128), (96, 160), (32, 32)])
def test_features_have_the_nominal_strides_of_the_picture_not_of_the_patches(
    tiny: StudentNetwork, height: int, width: int
) -> None:
    features = tiny.encode(torch.zeros(2, 3, height, width, dtype=torch.uint8))
    assert [tuple(x.shape) for x in features] == [
        (2, channels, height // stride, width // stride)
        for channels, stride in zip(MINIATURE.channels, (4, 8, 16, 32), strict=True)
    ]


def test_the_neck_gives_one_fine_and_three_coarse_levels() -> None:
    neck = DptNeck([8, 12, 16, 20], channels=24, fine_channels=10)
    fine, coarse = neck([torch.randn(1, c, 16 // s, 32 // s) for c, s in ((8, 1), (12, 2), (16, 4), (20, 8))])
    assert fine.shape == (1, 10, 16, 32)
    assert [tuple(x.shape) for x in coarse] == [(1, 24, 8, 16), (1, 24, 4, 8), (1, 24, 2, 4)]


def test_what_is_seen_far_away_reaches_the_fine_level() -> None:
    torch.manual_seed(0)
    neck = DptNeck([8, 8, 8, 8], channels=16, fine_channels=16).eval()
    features = [torch.zeros(1, 8, 32 // s, 64 // s) for s in (1, 2, 4, 8)]
    before = neck(features)[0]
    features[3][..., 1, 2] = 9.0
    changed = (neck(features)[0] - before).abs().sum(1)[0]
    assert changed[12, 20] > 1e-3, 'the middle of the coarse cell (1, 2)'
    assert changed[12, 20] > 100 * changed[31, 63]


def test_position_embeddings_are_those_of_the_file_at_its_own_grid_and_follow_the_shape_elsewhere() -> None:
    backbone = Vit(MINIATURE)
    assert torch.allclose(backbone._positions(37, 37), backbone.network.pos_embed, atol=1e-6)
    with torch.no_grad():  # a ramp from left to right
        ramp = torch.arange(37.0).repeat(37)[:, None].expand(-1, MINIATURE.width)
        backbone.network.pos_embed[0, 1:] = ramp
    wide = backbone._positions(5, 74)[0, 1:].unflatten(0, (5, 74))[..., 0]
    assert torch.allclose(wide[2], (torch.arange(74.0) + 0.5) / 2 - 0.5, atol=0.4)
    assert torch.allclose(wide[2, 2:-2], (torch.arange(74.0) + 0.5)[2:-2] / 2 - 0.5, atol=0.1), 'bicubic is not exact'
    assert torch.allclose(wide[0], wide[4], atol=1e-4)


def test_training_gives_a_prediction_before_every_layer_and_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = StudentNetwork(TINY, len(CLASSES), (2, 3)).train()
    output = network(torch.randint(0, 255, (2, 3, 64, 128), dtype=torch.uint8))
    assert len(output.levels) == 5
    assert output.levels[-1].mask_logits.shape == (2, 28, 16, 32)
    assert output.dense_logits is not None
    parts = [part for level in output.levels for part in level]
    torch.stack(
        [part.square().mean() for part in (*parts, output.heat, output.log_depth, output.dense_logits)]
    ).sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [name for name in silent if not name.endswith('key.bias')] == []


def test_the_exported_file_keeps_the_contract_agrees_and_predicts_on_the_robot_side(
    tiny: StudentNetwork, tmp_path: Path
) -> None:
    contract = StudentContract(
        name='tiny-vits',
        version='0.0.1',
        license='Apache-2.0',
        input=InputSpec(height=64, width=128, resize='stretch'),
        classes=CLASSES,
        outputs=OUTPUTS,
        depth=DepthSpec(cap_m=80.0, focal_reference_px=100.0),
        provenance={},
        metrics={},
        input_statistics=None,
    )
    path = tmp_path / 'tiny-vits.onnx'
    export_onnx(tiny, contract, path)
    model = onnx.load(path)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [('', 17)]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], 'no external data'
    modes = [a.s for node in model.graph.node if node.op_type == 'Resize' for a in node.attribute if a.name == 'mode']
    assert set(modes) == {b'linear'}, 'position embeddings are in the file at the size of the input'

    ours = TorchStudent(tiny, contract)
    picture = np.random.default_rng(0).integers(0, 255, (64, 128, 3), dtype=np.uint8)
    check_parity(path, ours, [Sample('noise', picture)]).require(path)

    street = np.random.default_rng(1).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    with Student.load(path) as exported:
        assert exported.output_shapes['masks'] == (1, 50, 16, 32)
        theirs = exported.predict(street, fx_px=250.0)
    expected = ours.predict(street, fx_px=250.0)
    assert theirs.depth is not None
    assert theirs.depth.shape == (240, 320)
    assert expected.depth is not None
    assert np.allclose(theirs.depth, expected.depth, rtol=1e-3, equal_nan=True)
    assert theirs.semantic is not None
    # A cell, which rounding may give another class, is 0.2 % of the picture; check_parity judges each.
    assert (theirs.semantic == expected.semantic).mean() > 0.995


def test_the_real_size_has_the_papers_parameters_and_learns() -> None:
    torch.manual_seed(0)
    network = StudentNetwork('vits', classes=11, thing_ids=(8, 9, 10)).train()
    count = sum(p.numel() for p in network.parameters())
    assert count == 51_493_448, 'docs/architecture.md and docs/training.md state it'
    assert count / 1e6 == pytest.approx(52, abs=1)
    output = network(torch.randint(0, 255, (1, 3, 128, 256), dtype=torch.uint8))
    assert len(output.levels) == 10
    assert output.levels[-1].class_logits.shape == (1, 100, 12)
    assert output.levels[-1].mask_logits.shape == (1, 100, 32, 64)
    assert [tuple(x.shape[1:]) for x in output.encoded] == [(72, 32, 64), (144, 16, 32), (288, 8, 16), (576, 4, 8)]
    output.levels[-1].mask_logits.square().mean().backward()
    first = network.get_parameter('backbone.network.patch_embed.proj.weight').grad
    assert first is not None
    assert first.isfinite().all()
    assert first.abs().sum() > 0


@pytest.mark.parametrize('name', ['model.safetensors', 'dinov2.pth'])
def test_weights_load_from_timms_and_metas_files(state: dict[str, Tensor], tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == '.pth':
        torch.save({**state, 'mask_token': torch.zeros(1, MINIATURE.width)}, path)
    else:
        save_file(state, path)
    backbone, channels = make_backbone('vit_miniature', path)
    assert channels == list(MINIATURE.channels)
    assert isinstance(backbone, Vit)
    assert all(torch.equal(tensor, state[key]) for key, tensor in backbone.network.state_dict().items())


def test_weights_of_hugging_face_mean_the_same(tmp_path: Path) -> None:
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=MINIATURE.width,
        num_hidden_layers=MINIATURE.depth,
        num_attention_heads=MINIATURE.heads,
        image_size=518,
        patch_size=14,
        layerscale_value=0.7,
    )
    theirs = transformers.Dinov2Model(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path)
    ours, _ = make_backbone('vit_miniature', tmp_path / 'model.safetensors')
    assert isinstance(ours, Vit)
    picture = torch.randn(1, 3, 518, 518)
    with torch.no_grad():
        expected = theirs(picture).last_hidden_state[:, 1:]
        found = ours.eval()._tapped(picture, 37, 37)[-1].flatten(2).transpose(1, 2)
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_missing_file_is_named_with_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r'absent\.pth: no such file.*dinov2_vits14_pretrain\.pth') as caught:
        StudentNetwork('vits', 4, (3,), tmp_path / 'absent.pth')
    assert '\n' not in str(caught.value)


def test_a_file_of_another_network_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / 'other.safetensors'

    def refuses(content: dict[str, Tensor], reason: str) -> None:
        save_file(content, path)
        with pytest.raises(TrainingError, match=reason):
            make_backbone('vit_miniature', path)

    refuses({'something': torch.zeros(1)}, 'tensors are missing or of another shape.*blocks.0.attn.qkv.weight')
    refuses({**state, 'reg_token': torch.zeros(1, 4, 32)}, '1 are unknown, first reg_token')
    refuses({**state, 'pos_embed': torch.zeros(1, 257, 32)}, '1 tensors are missing or of another shape.*pos_embed')
    refuses({'embeddings.position_embeddings': torch.zeros(1, 1370, 32)}, 'tensors are missing')


def test_a_damaged_file_is_refused_in_one_line_and_code_is_never_run(tmp_path: Path) -> None:
    class Dangerous:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ('run',)

    cut, code, nested = tmp_path / 'cut.safetensors', tmp_path / 'code.pth', tmp_path / 'nested.pth'
    cut.write_bytes(b'\x10\x00\x00\x00\x00\x00\x00\x00{"a"')
    code.write_bytes(pickle.dumps(Dangerous(), protocol=2))
    torch.save({'model': {'norm.weight': torch.zeros(32)}}, nested)
    empty = tmp_path / 'empty.pth'
    empty.touch()
    for path, reason in (
        (cut, 'cannot be read'),
        (code, 'cannot be read'),
        (empty, 'cannot be read'),
        (nested, 'more'),
    ):
        with pytest.raises(TrainingError, match=rf'{path.name}: .*{reason}') as caught:
            make_backbone('vit_miniature', path)
        assert '\n' not in str(caught.value)


def test_embeddings_norms_and_scales_of_the_transformer_do_not_decay(tiny: StudentNetwork) -> None:
    groups = make_optimizer(tiny, OptimizerSection(weight_decay=0.1, backbone_factor=0.1)).param_groups
    settings = {id(p): (group['weight_decay'], group['factor']) for group in groups for p in group['params']}
    network = tiny.get_submodule('backbone.network')
    for name in ('pos_embed', 'cls_token', 'norm.weight', 'blocks.0.ls1.gamma', 'blocks.0.attn.qkv.bias'):
        assert settings[id(network.get_parameter(name))] == (0.0, 0.1), name
    for name in ('patch_embed.proj.weight', 'blocks.0.attn.qkv.weight'):
        assert settings[id(network.get_parameter(name))] == (0.1, 0.1), name
    assert settings[id(tiny.get_parameter('pyramid.enter.0.weight'))] == (0.1, 1.0)


def test_its_recipe_is_valid_and_names_this_size(project_root: Path) -> None:
    recipe = load(Recipe, project_root / 'config' / 'recipes' / 'cityscapes-vits.yaml')
    assert recipe.student.size == 'vits'
    assert recipe.data.dataset == 'cityscapes'
    assert recipe.total_steps == 90_000
    assert recipe.optimizer.backbone_factor == 0.1
