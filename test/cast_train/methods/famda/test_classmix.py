# SPDX-License-Identifier: Apache-2.0
"""ClassMix: picture, class map, instances and depth are pasted together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cast_train.data.augment import Targets
from cast_train.errors import DataError
from cast_train.methods.famda.classmix import Side, class_mix, pasted_pixels

ROAD, SKY, CAR = 0, 1, 2
THINGS = (CAR,)


def side(colour: int, depth_m: float, car: tuple[int, int, int, int], seed: int = 5) -> Side:
    """Sky above road, and a car; everything in one colour and at one distance."""
    semantic = torch.full((20, 30), ROAD)
    semantic[:8] = SKY
    x0, y0, x1, y1 = car
    semantic[y0:y1, x0:x1] = CAR
    masks = torch.stack([semantic == label for label in (ROAD, SKY, CAR)])
    targets = Targets(masks, torch.tensor([ROAD, SKY, CAR]), semantic, torch.full((20, 30), depth_m), seed)
    return Side(torch.full((3, 20, 30), colour, dtype=torch.uint8), targets)


@pytest.mark.parametrize('seed', range(6))
def test_two_of_three_classes_bring_their_pixels_depth_and_instances(seed: int) -> None:
    source, target = side(200, 5.0, (2, 10, 8, 14)), side(50, 40.0, (20, 10, 28, 16))
    mixed = class_mix(source, target, THINGS, 0.4, seed)
    assert source.targets.semantic is not None
    paste = pasted_pixels(source.targets.semantic, seed)
    assert len(source.targets.semantic[paste].unique()) == 2
    assert torch.equal(mixed.image[0] == 200, paste)
    found = mixed.targets
    assert found.semantic is not None
    assert torch.equal(found.semantic[paste], source.targets.semantic[paste])
    assert torch.equal(found.depth_m == 5.0, paste)
    assert torch.equal(found.pixel_weights == 1.0, paste)
    assert found.pixel_weights is not None
    assert torch.allclose(found.pixel_weights[~paste], torch.tensor(0.4))
    assert found.masks is not None
    assert found.labels is not None
    for mask, label in zip(found.masks, found.labels, strict=True):
        assert mask.any()
        assert (found.semantic[mask] == label).all()
    pasted_car = bool((source.targets.semantic[paste] == CAR).any())
    # A pasted car stands beside the target's own, unless pasted road covers that.
    whole = [int(mask.sum()) for mask, label in zip(found.masks, found.labels, strict=True) if label == CAR]
    assert (24 in whole) == pasted_car


def test_an_instance_that_is_mostly_covered_is_no_example_any_more() -> None:
    source, target = side(200, 5.0, (0, 10, 30, 20)), side(50, 40.0, (5, 7, 15, 20))
    seed = next(seed for seed in range(50) if pasted_pixels(source.targets.semantic, seed)[15, 15])  # type: ignore[arg-type]
    mixed = class_mix(source, target, THINGS, 1.0, seed)
    assert mixed.targets.labels is not None
    assert int((mixed.targets.labels == CAR).sum()) == 1


def test_depth_that_one_side_lacks_is_unknown_there_and_disparity_stays_on_the_target() -> None:
    source, target = side(200, 5.0, (2, 10, 8, 14)), side(50, 40.0, (20, 10, 28, 16))
    relative = replace(target.targets, depth_m=None, disparity=torch.ones(20, 30))
    mixed = class_mix(source, Side(target.image, relative), THINGS, 1.0, 0)
    paste = mixed.image[0] == 200
    assert mixed.targets.depth_m is not None
    assert torch.equal(mixed.targets.depth_m.isfinite(), paste)
    assert mixed.targets.disparity is not None
    assert torch.equal(mixed.targets.disparity.isfinite(), ~paste)


def test_a_source_without_class_map_is_refused() -> None:
    source, target = side(200, 5.0, (2, 10, 8, 14)), side(50, 40.0, (20, 10, 28, 16))
    with pytest.raises(DataError, match='ClassMix needs semantic maps'):
        class_mix(Side(source.image, replace(source.targets, semantic=None)), target, THINGS, 1.0, 0)
