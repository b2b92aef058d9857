# SPDX-License-Identifier: Apache-2.0
"""The heads that embed both views, and their gradient rules."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import relu

from cast_train.methods.cast.pixel_contrast import DIMENSION, ContrastHead, Projection, encode_strong
from cast_train.models import StudentNetwork


def test_it_is_the_papers_perceptron_at_every_cell() -> None:
    torch.manual_seed(0)
    head = Projection(768)
    linear = [layer for layer in head.layers if isinstance(layer, nn.Conv2d)]
    assert [tuple(layer.weight.shape[:2]) for layer in linear] == [(128, 768), (128, 128), (128, 128)]
    assert all(layer.bias is None for layer in linear)
    features = torch.randn(2, 768, 3, 4)
    found = head(features)
    one = features[1, :, 2, 3]
    for layer in linear[:-1]:
        one = relu(layer.weight[:, :, 0, 0] @ one)
    one = linear[-1].weight[:, :, 0, 0] @ one
    assert torch.allclose(found[1, :, 2, 3], one / one.norm(), atol=1e-5)
    assert torch.allclose(found.norm(dim=1), torch.ones(2, 3, 4), atol=1e-5)


def test_the_result_is_float32_under_autocast() -> None:
    head = Projection(5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = head(torch.randn(1, 5, 2, 2))
    assert found.shape == (1, DIMENSION, 2, 2)
    assert found.dtype == torch.float32
    # A cell whose units are all off has no direction; it must not become NaN.
    assert not head(torch.zeros(1, 5, 1, 1)).any()


@pytest.mark.parametrize('published', [False, True])
def test_the_weak_view_learns_and_the_strong_one_does_not(published: bool) -> None:
    torch.manual_seed(0)
    head = ContrastHead(6, published=published)
    features = torch.randn(1, 6, 2, 2, requires_grad=True)
    strong = head.strong(features)
    assert not strong.requires_grad
    assert torch.equal(strong, head.weak(features).detach())
    optimizer = torch.optim.SGD([p for p in head.parameters() if p.requires_grad], 0.5)
    (head.weak(features) * torch.randn(1, 128, 2, 2)).sum().backward()
    assert features.grad is not None
    assert features.grad.any()
    optimizer.step()
    changed = not torch.allclose(head.strong(features), strong)
    assert changed is not published, 'one learned head serves both views; the published second head never trains'
    assert len(head.state_dict()) == (6 if published else 3)


def test_encoding_the_strong_view_leaves_no_trace_in_the_student() -> None:
    torch.manual_seed(0)
    student = StudentNetwork('nano', 4, (1, 2)).train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    features = encode_strong(student, torch.randint(0, 255, (2, 3, 32, 64)))
    assert [tuple(level.shape[-2:]) for level in features] == [(8, 16), (4, 8), (2, 4), (1, 2)]
    assert not any(level.requires_grad for level in features)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    student.encode(torch.randint(0, 255, (2, 3, 32, 64)))
    changed = [name for name, value in student.state_dict().items() if not torch.equal(value, before[name])]
    assert any('running_mean' in name for name in changed), 'the weak view still counts'
    assert any('num_batches_tracked' in name for name in changed)
