# SPDX-License-Identifier: Apache-2.0
"""Classes of the pseudo-labels are drawn to the shares that they have in the source's labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cast_ros.student import UNLABELLED
from cast_train.data.augment import Targets
from cast_train.methods.famda.labels import ClassAlignment


def labels(*shares: float) -> Targets:
    """A class map of 1,000 pixels."""
    semantic = torch.cat([torch.full((round(1000 * share),), label) for label, share in enumerate(shares)])
    return Targets(None, None, semantic.reshape(20, 50), None, 1)


def says(*shares: float) -> Tensor:
    return torch.tensor(shares)[None, :, None, None].expand(1, len(shares), 4, 4)


def test_a_class_that_swallowed_another_gives_it_back() -> None:
    alignment = ClassAlignment(3, power=1.0)
    alignment.look(says(0.1, 0.4, 0.5), [labels(0.3, 0.2, 0.5)])
    assert alignment(says(0.2, 0.4, 0.4))[0, :, 0, 0].tolist() == pytest.approx([0.6, 0.2, 0.4])


def test_half_the_power_goes_half_the_way() -> None:
    alignment = ClassAlignment(2, power=0.5)
    alignment.look(says(0.2, 0.8), [labels(0.8, 0.2)])
    assert alignment(says(0.5, 0.5))[0, :, 0, 0].tolist() == pytest.approx([1.0, 0.25])


@pytest.mark.parametrize(('said', 'true'), [(0.05, 0.002), (0.002, 0.05)])
def test_rare_classes_are_left_alone(said: float, true: float) -> None:
    alignment = ClassAlignment(2, power=1.0)
    alignment.look(says(1 - said, said), [labels(1 - true, true)])
    assert alignment(says(0.5, 0.5))[0, 1, 0, 0].item() == 0.5


def test_before_the_first_look_nothing_changes() -> None:
    assert torch.equal(ClassAlignment(2, power=1.0)(says(0.3, 0.7)), says(0.3, 0.7))


def test_unlabelled_pixels_and_pictures_without_a_map_do_not_count() -> None:
    target = labels(0.5, 0.5)
    assert target.semantic is not None
    target.semantic[:10] = UNLABELLED
    alignment = ClassAlignment(2, power=1.0)
    alignment.look(says(0.5, 0.5), [target, Targets(None, None, None, None, 1)])
    assert alignment.source.tolist() == [0, 1]


def test_the_averages_follow_slowly_and_survive_a_checkpoint() -> None:
    alignment = ClassAlignment(2, power=1.0)
    for _ in range(60):
        alignment.look(says(0.5, 0.5), [labels(0.5, 0.5)])
    alignment.look(says(0.9, 0.1), [labels(0.5, 0.5)])
    assert alignment.target.tolist() == pytest.approx([0.508, 0.492])
    again = ClassAlignment(2, power=1.0)
    again.load_state_dict(alignment.state_dict())
    again.look(says(0.9, 0.1), [labels(0.5, 0.5)])
    assert again.target.tolist() == pytest.approx([0.51584, 0.48416])
