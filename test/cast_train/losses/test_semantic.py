# SPDX-License-Identifier: Apache-2.0
"""The map that queries compose, and its losses."""

from __future__ import annotations

import math

import pytest
import torch

from cast_train.data import Targets
from cast_train.losses.supervised import composed_semantic_loss, dense_semantic_loss
from cast_train.models import QueryPrediction, compose_semantic


def labels(rows: list[list[int]]) -> Targets:
    return Targets(None, None, torch.tensor(rows), None)


def test_the_composed_map_agrees_with_loops() -> None:
    torch.manual_seed(0)
    prediction = QueryPrediction(torch.randn(1, 3, 5), torch.randn(1, 3, 2, 2), torch.zeros(1, 3, 4))
    classes, masks = prediction.class_logits.softmax(-1), prediction.mask_logits.sigmoid()
    found = compose_semantic(prediction)
    assert found.shape == (1, 4, 2, 2)
    for c in range(4):
        expected = sum(float(classes[0, k, c] * masks[0, k, 1, 0]) for k in range(3))
        assert found[0, c, 1, 0].item() == pytest.approx(expected, rel=1e-5)


def test_the_composed_loss_is_the_log_share_of_the_right_class() -> None:
    class_logits = torch.tensor([[[9.0, -9.0, -9.0], [-9.0, 9.0, -9.0]]])
    masks = torch.tensor([[[[2.0, -2.0]], [[-2.0, 2.0]]]])
    p = 1 / (1 + math.exp(-2.0))
    loss = composed_semantic_loss(QueryPrediction(class_logits, masks, torch.zeros(1, 2, 4)), [labels([[0, 1]])])
    assert loss.item() == pytest.approx(-math.log(p), abs=1e-3)


def test_unlabelled_pixels_and_pictures_do_not_count() -> None:
    logits = torch.zeros(2, 4, 1, 2)
    logits[0, 1] = 5.0
    known = dense_semantic_loss(logits, [labels([[1, 255]]), Targets(None, None, None, None)])
    assert known.item() == pytest.approx(math.log(1 + 3 * math.exp(-5.0)), rel=1e-4)
    nothing = dense_semantic_loss(logits, [labels([[255, 255]]), Targets(None, None, None, None)])
    assert nothing.item() == 0


def test_gradients_of_the_composed_loss_are_right() -> None:
    torch.manual_seed(0)
    classes = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    masks = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)

    def loss(c: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        scores = (c.softmax(-1)[..., :-1].transpose(1, 2) @ m.sigmoid().flatten(2)).unflatten(2, (2, 2))
        return (scores / scores.sum(1, keepdim=True)).log()[:, 1].mean()

    assert torch.autograd.gradcheck(loss, (classes, masks))
    ours = composed_semantic_loss(
        QueryPrediction(classes.float(), masks.float(), torch.zeros(1, 2, 4)), [labels([[1, 1], [1, 1]])]
    )
    assert ours.item() == pytest.approx(-loss(classes, masks).item(), rel=1e-3)
