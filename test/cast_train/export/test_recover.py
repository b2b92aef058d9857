# SPDX-License-Identifier: Apache-2.0
"""An exported student turned back into a network that can learn on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from drawn_streets import draw_streets
from nan_depth import answer_nan
from tiny_run import untrained
from torch import nn

from cast_ros.student import StudentContract
from cast_train.data import Sample, open_dataset
from cast_train.errors import ExportError
from cast_train.export.onnx import export_onnx
from cast_train.export.recover import recover_student
from cast_train.models import StudentNetwork
from cast_train.models.student import StudentSize


def lived_in(network: StudentNetwork) -> StudentNetwork:
    """Norms and biases as a training leaves them, each another: the export writes equal ones only once."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 3:
                parameter.add_(0.02 * torch.randn_like(parameter))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    assert tensor is not None
                    tensor.normal_(0, 0.2)
    return network.eval()


@pytest.fixture
def pictures(tmp_path: Path) -> list[Sample]:
    draw_streets(tmp_path / 'streets', 'val', 'day', 4)
    dataset = open_dataset('streets', tmp_path / 'streets', 'val', 'day')
    return [dataset[index] for index in range(4)]


def exported(tmp_path: Path) -> tuple[Path, StudentNetwork, StudentContract]:
    network, contract = untrained(tmp_path)
    lived_in(network)
    export_onnx(network, contract, tmp_path / 'student.onnx')
    return tmp_path / 'student.onnx', network, contract


def test_the_network_comes_back_and_answers_as_before(tmp_path: Path, pictures: list[Sample]) -> None:
    path, network, contract = exported(tmp_path)
    found, known = recover_student(path, pictures)
    assert known == contract
    assert found.size == 'nano'
    images = torch.randint(0, 255, (2, 3, 64, 128), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        one, other = network(images), found(images)
    assert torch.allclose(one.log_depth, other.log_depth, atol=1e-4)
    assert torch.allclose(one.levels[-1].class_logits, other.levels[-1].class_logits, atol=1e-3)


def test_its_norms_hardly_change_anything_while_it_learns(tmp_path: Path, pictures: list[Sample]) -> None:
    path, _, _ = exported(tmp_path)
    found, _ = recover_student(path, pictures)
    images = torch.from_numpy(np.stack([sample.image[::2, ::2] for sample in pictures])).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        judged = found(images).log_depth
        found.train()
        learning = found(images).log_depth
    assert float((judged - learning).abs().mean()) < 0.3 * float(judged.std())


def test_a_graph_of_another_make_is_refused(tmp_path: Path, pictures: list[Sample]) -> None:
    _, contract = untrained(tmp_path)
    other = StudentNetwork(
        StudentSize('mobilenetv4_conv_small_050', channels=32, fine_channels=32, mask_channels=16),
        len(contract.classes),
        contract.thing_ids,
    )
    path = tmp_path / 'other.onnx'
    export_onnx(other.eval(), contract, path)
    with pytest.raises(ExportError, match='its graph is that of none of nano, small, '):
        recover_student(path, pictures)


def test_a_graph_whose_code_differs_is_caught_by_its_answers(tmp_path: Path, pictures: list[Sample]) -> None:
    path, _, _ = exported(tmp_path)
    model = onnx.load(str(path))
    relu = next(node for node in model.graph.node if node.op_type == 'Relu')
    relu.op_type = 'Abs'
    onnx.save(model, str(path))
    with pytest.raises(ExportError, match='answers otherwise'):
        recover_student(path, pictures)


def test_a_file_that_answers_nan_is_caught(tmp_path: Path, pictures: list[Sample]) -> None:
    path, _, _ = exported(tmp_path)
    answer_nan(path)
    with pytest.raises(ExportError, match=r'answers otherwise, by inf in depth'):
        recover_student(path, pictures)


def test_a_picture_is_needed(tmp_path: Path) -> None:
    path, _, _ = exported(tmp_path)
    with pytest.raises(ExportError, match='without a picture'):
        recover_student(path, [])
