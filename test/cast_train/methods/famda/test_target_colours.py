# SPDX-License-Identifier: Apache-2.0
"""Source pictures in the colours of target pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cast_train.data import Batch
from cast_train.data.augment import Targets
from cast_train.methods.famda.target import in_target_colours, transfer


def picture(seed: int, mean: tuple[float, float, float], spread: float, together: float) -> Tensor:
    """1×3×48×64 uint8 whose channels vary by ``spread`` around ``mean``, ``together`` of it in step."""
    generator = torch.Generator().manual_seed(seed)
    common, own = (torch.randn(1, count, 48, 64, generator=generator) for count in (1, 3))
    colours = torch.tensor(mean).view(1, 3, 1, 1) + spread * (together * common + (1 - together) * own)
    return colours.clamp(0, 255).round().to(torch.uint8)


def statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    colours = image[0].flatten(1).double()
    return colours.mean(1), torch.cov(colours, correction=0)


def test_mean_and_covariance_become_those_of_the_model() -> None:
    source, model = picture(0, (90, 140, 60), 12, 0.1), picture(1, (120, 110, 130), 15, 0.8)
    mean, covariance = statistics(transfer(source, model))
    wanted_mean, wanted = statistics(model)
    torch.testing.assert_close(mean, wanted_mean, atol=0.1, rtol=0)
    torch.testing.assert_close(covariance, wanted, atol=0.5, rtol=0.02)


def test_the_map_moves_colours_no_further_than_it_must() -> None:
    source = picture(0, (100, 120, 140), 12, 0.3)
    assert torch.equal(transfer(source, source), source)
    brighter = (source.int() + 20).to(torch.uint8)
    assert torch.equal(transfer(source, brighter), brighter)


@pytest.mark.parametrize('grey', [0, 255])
def test_pictures_of_one_colour_take_and_give_colours(grey: int) -> None:
    plain = torch.full((1, 3, 48, 64), grey, dtype=torch.uint8)
    other = picture(0, (90, 140, 60), 12, 0.1)
    assert torch.equal(transfer(other, plain).float().mean((2, 3)).round(), plain.float().mean((2, 3)))
    wanted = other.double().mean((2, 3), keepdim=True).round().to(torch.uint8)
    assert torch.equal(transfer(plain, other), wanted.expand_as(plain))


def test_labelled_pictures_change_in_both_views_and_those_of_the_target_stay() -> None:
    source, dark = picture(0, (150, 150, 150), 10, 0.5), picture(1, (40, 40, 60), 10, 0.5)
    images = torch.cat([source, source, source, dark, dark // 2])
    batch = Batch(images, [Targets(None, None, None, None)] * 5, labelled=3, strong=255 - images)
    changed = in_target_colours(batch)
    assert changed.strong is not None
    assert torch.equal(changed.images[3:], images[3:])
    assert torch.equal(changed.strong[3:], 255 - images[3:])
    means = changed.images.float().mean((1, 2, 3)).tolist()
    assert means[:3] == pytest.approx([means[3], means[4], means[3]], abs=0.5)
    assert float(changed.strong[0].float().mean()) == pytest.approx(float(changed.strong[3].float().mean()), abs=0.5)
    assert changed.targets == batch.targets


def test_a_batch_without_strong_views_stays_without() -> None:
    images = torch.cat([picture(0, (150, 150, 150), 10, 0.5), picture(1, (40, 40, 60), 10, 0.5)])
    batch = Batch(images, [Targets(None, None, None, None)] * 2, labelled=1)
    assert in_target_colours(batch).strong is None
