# SPDX-License-Identifier: Apache-2.0
"""What keeps a student honest on pictures without labels."""

from __future__ import annotations

import pytest
import torch

from cast_train.data.augment import Targets
from cast_train.methods.famda.losses import confident_share, feature_distance, hide_patches

FILL = torch.tensor([10.0, 20.0, 30.0])


def test_the_share_of_sure_pixels_counts_those_at_the_threshold() -> None:
    probabilities = torch.tensor([[[[0.95, 0.9, 0.5, 0.3]], [[0.05, 0.1, 0.5, 0.7]]]])
    assert float(confident_share(probabilities, 0.9)) == 0.5
    assert float(confident_share(probabilities, 0.7)) == 0.75


def test_patches_are_hidden_whole_and_by_the_seed_of_each_picture() -> None:
    images = torch.full((3, 3, 70, 100), 200, dtype=torch.uint8)
    hidden = hide_patches(images, 16, 0.5, FILL, [1, 1, 2])
    assert torch.equal(hidden[0], hidden[1])
    assert not torch.equal(hidden[0], hidden[2])
    for top in range(0, 70, 16):
        for left in range(0, 100, 16):
            patch = hidden[0, :, top : top + 16, left : left + 16].flatten(1)
            assert patch.unique(dim=1).shape[1] == 1
            assert patch[:, 0].tolist() in ([200, 200, 200], [10, 20, 30])


@pytest.mark.parametrize(('share', 'value'), [(0.0, 200), (1.0, 10)])
def test_none_or_all_of_a_picture_can_be_hidden(share: float, value: int) -> None:
    images = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    assert (hide_patches(images, 32, share, FILL, [None])[:, 0] == value).all()


def test_the_feature_distance_looks_at_cells_that_a_thing_fills() -> None:
    own, anchor = torch.zeros(2, 3, 2, 2, requires_grad=True), torch.zeros(2, 3, 2, 2)
    anchor[0, :, 0, 0] = torch.tensor([3.0, 0.0, 4.0])  # distance 5 where a car is
    anchor[0, :, 1, 1] = 100.0  # and much where only road is
    semantic = torch.zeros(8, 8, dtype=torch.int64)
    semantic[:4, :4] = 9
    semantic[4:, :1] = 9  # a quarter of a cell
    targets = [Targets(None, None, semantic, None), Targets(None, None, None, None)]
    distance = feature_distance(own, anchor, targets, (9,))
    assert float(distance.detach()) == pytest.approx(5)
    distance.backward()
    assert own.grad is not None
    assert own.grad.isfinite().all()
    assert float(feature_distance(own, anchor, targets[1:] * 2, (9,)).detach()) == 0
