# SPDX-License-Identifier: Apache-2.0
"""What the number of a depth head stands for."""

from __future__ import annotations

import math

import pytest
import torch

from cast_train.losses.supervised import silog_loss
from cast_train.models.depth import FORMS, LOG_FARTHEST, LOG_NEAREST, START_LOG_DEPTH


def test_every_form_starts_at_the_same_depth_and_stays_finite() -> None:
    for form in FORMS.values():
        numbers = torch.tensor([form.start, -1e4, 1e4])
        log_depth = form.log_depth(numbers)
        assert log_depth[0].item() == pytest.approx(START_LOG_DEPTH, abs=1e-5)
        assert log_depth.isfinite().all()
        assert log_depth[1] < log_depth[0] < log_depth[2]
        assert log_depth.exp().isfinite().all()


def test_log_depth_gives_equal_steps_equal_ratios_and_linear_depth_equal_metres() -> None:
    shares = torch.tensor([0.2, 0.4, 0.6])
    bounded, linear = (FORMS[name].log_depth(torch.logit(shares)) for name in ('bounded_log', 'linear'))
    assert bounded.diff().tolist() == pytest.approx([0.2 * (LOG_FARTHEST - LOG_NEAREST)] * 2, rel=1e-5)
    assert linear.exp().diff().tolist() == pytest.approx([0.2 * 99.9] * 2, rel=1e-4)


def test_ten_metres_are_ten_metres_which_two_nearest_depths_would_break() -> None:
    """SwinMTL's quirk 1: targets scaled from 1e-4 m, predictions decoded from 1e-3 m, both up to 80 m."""
    depth_m = torch.tensor([10.0, 80.0])
    share = (depth_m / 1e-4).log() / math.log(80 / 1e-4)
    published = 1e-3 * torch.exp(share * math.log(80 / 1e-3))
    assert published.tolist() == pytest.approx([14.2, 80.0], abs=0.1)

    number = torch.logit((depth_m.log() - LOG_NEAREST) / (LOG_FARTHEST - LOG_NEAREST))
    answered = FORMS['bounded_log'].log_depth(number)
    assert answered.exp().tolist() == pytest.approx([10.0, 80.0], rel=1e-4)
    # And where the loss is least, the answer is right in metres; the published pair is off by then.
    assert silog_loss(answered, depth_m).item() < 1e-3
    assert silog_loss(published.log(), depth_m).item() > 0.1
