# SPDX-License-Identifier: Apache-2.0
"""The heat map of centres and its loss."""

from __future__ import annotations

import math

import pytest
import torch

from cast_train.data import Targets
from cast_train.losses.supervised import centre_loss, centre_map


def one_car() -> Targets:
    masks = torch.zeros(2, 32, 64, dtype=torch.bool)
    masks[0, 8:16, 16:40] = True
    masks[1, 20:, :] = True
    return Targets(masks, torch.tensor([9, 0]), None, None)


def test_the_map_is_one_at_the_box_centre_and_falls_off_around_it() -> None:
    found = centre_map(one_car(), thing_ids=(8, 9), height=8, width=16)
    assert found.shape == (2, 8, 16)
    assert found[0].max() == 0, 'no person'
    assert (found == 1).nonzero().tolist() == [[1, 3, 7]]
    assert 0 < found[1, 3, 10] < found[1, 3, 8] < 1
    assert found[1, 7, 0] < 1e-3


def test_the_loss_is_the_focal_formula() -> None:
    heat = torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :2, :2] = True
    target = Targets(masks, torch.tensor([9]), None, None)
    wanted = centre_map(target, (9,), 2, 2)[0]
    expected = 0.0
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        p, g = 1 / (1 + math.exp(-float(heat[0, 0, y, x]))), float(wanted[y, x])
        expected -= (1 - p) ** 2 * math.log(p) if g == 1 else (1 - g) ** 4 * p**2 * math.log(1 - p)
    assert centre_loss(heat, [target], (9,)).item() == pytest.approx(expected, rel=1e-5)


def test_pictures_without_labels_things_or_instances_are_survived() -> None:
    heat = torch.zeros(1, 1, 4, 4, requires_grad=True)
    nothing = Targets(None, None, None, None)
    empty = Targets(torch.zeros(0, 8, 8, dtype=torch.bool), torch.zeros(0, dtype=torch.int64), None, None)
    assert centre_loss(heat, [nothing], (9,)).item() == 0
    assert centre_loss(heat, [one_car()], ()).item() == 0
    assert centre_loss(heat, [empty], (9,)).item() == pytest.approx(16 * 0.25 * math.log(2))
