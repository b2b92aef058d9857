# SPDX-License-Identifier: Apache-2.0
"""Depth from disparity of unknown scale and shift."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cast_train.data.augment import Targets
from cast_train.methods.famda.losses import affine_invariant_loss, relative_depth_loss


def reference(inverse_depth: np.ndarray, disparity: np.ndarray) -> float:
    """The same by least squares, plainly."""
    p, q = inverse_depth.ravel(), disparity.ravel()
    valid = np.isfinite(q)
    p, q = p[valid], q[valid]
    q = q - np.sort(q)[(len(q) - 1) // 2]
    q = q / np.abs(q).mean()
    (scale, shift), *_ = np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), q, rcond=None)
    return float(np.abs(scale * p + shift - q).mean())


@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 50), shift=st.floats(-5, 5))
@settings(max_examples=40, deadline=None)
def test_it_agrees_with_least_squares_and_forgives_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    p, q = rng.random((6, 7)), rng.random((6, 7))
    q[0, :3] = np.nan
    loss = affine_invariant_loss(torch.tensor(p), torch.tensor(q))
    assert float(loss) == pytest.approx(reference(p, q), rel=1e-6)
    assert float(affine_invariant_loss(torch.tensor(p), torch.tensor(scale * q + shift))) == pytest.approx(float(loss))
    assert float(affine_invariant_loss(torch.tensor(q), torch.tensor(scale * q + shift))) == pytest.approx(0, abs=1e-6)


def test_its_gradient_is_right() -> None:
    torch.manual_seed(0)
    p, q = torch.rand(5, 6, dtype=torch.float64, requires_grad=True), torch.rand(5, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: affine_invariant_loss(p, q), (p,))


@pytest.mark.parametrize('disparity', [torch.full((5, 5), torch.nan), torch.ones(5, 5)])
def test_disparity_that_fixes_no_scale_teaches_nothing(disparity: torch.Tensor) -> None:
    p = torch.rand(5, 5, requires_grad=True)
    loss = affine_invariant_loss(p, disparity)
    loss.backward()
    assert float(loss.detach()) == 0
    assert p.grad is not None
    assert not p.grad.any()


def test_pictures_without_disparity_are_left_out() -> None:
    torch.manual_seed(0)
    log_depth = torch.rand(2, 4, 8, requires_grad=True)
    bare = Targets(None, None, None, None)
    known = Targets(None, None, None, None, disparity=torch.rand(16, 32))
    loss = relative_depth_loss(log_depth, [bare, known])
    loss.backward()
    assert log_depth.grad is not None
    assert not log_depth.grad[0].any()
    assert log_depth.grad[1].any()
    assert float(relative_depth_loss(log_depth, [bare, bare]).detach()) == 0
    alone = relative_depth_loss(log_depth[1:], [known])
    assert float(loss.detach()) == pytest.approx(float(alone.detach()))
