# SPDX-License-Identifier: Apache-2.0
"""SILog against its formula, its gradient, and its ugly inputs."""

from __future__ import annotations

import math

import pytest
import torch

from cast_train.data import Targets
from cast_train.losses.supervised import depth_loss, silog_loss


def test_silog_agrees_with_the_formula() -> None:
    predicted, true = [2.0, 5.0, 30.0], [2.5, 4.0, 40.0]
    g = [math.log(t) - math.log(p) for p, t in zip(predicted, true, strict=True)]
    expected = math.sqrt(sum(x * x for x in g) / 3 - 0.5 * (sum(g) / 3) ** 2)
    assert silog_loss(torch.tensor(predicted).log(), torch.tensor(true)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(('focus', 'expected'), [(1.0, 0.0), (0.0, math.log(2))])
def test_variance_focus_decides_how_much_a_common_scale_is_forgiven(focus: float, expected: float) -> None:
    true = torch.tensor([1.0, 7.0, 50.0], dtype=torch.float64)  # in float32 the root of a rounding error is 3e-4
    assert silog_loss((2 * true).log(), true, focus).item() == pytest.approx(expected, abs=1.001e-4)


def test_invalid_targets_are_left_out() -> None:
    true = torch.tensor([4.0, math.nan, math.inf, 0.0, -1.0])
    predicted = torch.tensor([2.0, 9.0, 9.0, 9.0, 9.0]).log()
    assert silog_loss(predicted, true).item() == pytest.approx(math.log(2) * math.sqrt(0.5), rel=1e-5)


def test_without_a_valid_target_loss_and_gradient_are_zero() -> None:
    predicted = torch.ones(4, requires_grad=True)
    loss = silog_loss(predicted, torch.full((4,), math.nan))
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert predicted.grad.abs().sum() == 0


def test_the_gradient_is_right_and_finite_at_the_optimum() -> None:
    torch.manual_seed(0)
    true = torch.rand(6, dtype=torch.float64) * 20 + 1
    start = (true.log() + torch.randn(6, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: silog_loss(x, true), (start,))
    exact = true.log().requires_grad_()
    silog_loss(exact, true).backward()
    assert exact.grad is not None
    assert exact.grad.isfinite().all()


def test_only_pictures_with_depth_count() -> None:
    log_depth = torch.zeros(2, 4, 4)
    with_depth = Targets(None, None, None, torch.full((8, 8), math.e))
    without = Targets(None, None, None, None)
    assert depth_loss(log_depth, [with_depth, without]).item() == pytest.approx(math.sqrt(0.5), rel=1e-5)
    assert depth_loss(log_depth, [without, without]).item() == 0
