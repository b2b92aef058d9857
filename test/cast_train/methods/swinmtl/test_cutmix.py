# SPDX-License-Identifier: Apache-2.0
"""CutMix: squares of a mate bring picture, strong view and every label, and the draws follow from the seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cast_train.data.augment import Targets
from cast_train.data.batches import Batch
from cast_train.errors import DataError
from cast_train.methods.swinmtl.cutmix import SMALLEST_PX, boxes_of, cut_mix, mates_of

ROAD, CAR = 0, 1
HEIGHT, WIDTH = 64, 128


def one(colour: int, seed: int) -> Targets:
    """Road and a car in the upper left corner; depth is the colour."""
    semantic = torch.full((HEIGHT, WIDTH), ROAD)
    semantic[:30, :40] = CAR
    masks = torch.stack([semantic == ROAD, semantic == CAR])
    return Targets(masks, torch.tensor([ROAD, CAR]), semantic, torch.full((HEIGHT, WIDTH), float(colour)), seed)


def batch_of(count: int, labelled: int | None = None) -> Batch:
    colours = torch.arange(count, dtype=torch.uint8) + 1
    images = colours[:, None, None, None].expand(count, 3, HEIGHT, WIDTH).clone()
    targets = [one(index + 1, 100 + index) for index in range(count)]
    return Batch(images, targets, count if labelled is None else labelled, images + 100)


def test_squares_bring_picture_strong_view_classes_and_depth_of_one_mate() -> None:
    batch = batch_of(3)
    mixed, mates = cut_mix(batch, (CAR,)), mates_of(batch)
    assert mixed.strong is not None
    for row, (target, mate) in enumerate(zip(mixed.targets, mates, strict=True)):
        expected = torch.full((HEIGHT, WIDTH), row + 1)
        for top, left, bottom, right in boxes_of(100 + row, HEIGHT, WIDTH):
            expected[top:bottom, left:right] = mate + 1
        assert mate != row
        assert torch.equal(mixed.images[row, 0].long(), expected)
        assert torch.equal(mixed.strong[row, 0].long(), expected + 100)
        assert target.depth_m is not None
        assert torch.equal(target.depth_m, expected.float())
        assert target.semantic is not None
        assert target.masks is not None
        assert target.labels is not None
        for mask, label in zip(target.masks, target.labels, strict=True):
            assert mask.sum() >= SMALLEST_PX
            assert (target.semantic[mask] == label).all()
        assert target.labels.tolist().count(ROAD) == 1


def test_boxes_are_squares_of_the_published_sizes_inside_the_picture() -> None:
    found = [boxes_of(seed, HEIGHT, WIDTH) for seed in range(300)]
    assert {len(boxes) for boxes in found} == {1, 2, 3, 4}
    sides = set()
    for top, left, bottom, right in (box for boxes in found for box in boxes):
        assert 0 <= top < bottom <= HEIGHT
        assert 0 <= left < right <= WIDTH
        assert bottom - top == right - left
        sides.add(bottom - top)
    assert (min(sides), max(sides)) == (HEIGHT // 8, HEIGHT // 2 - 1)


def test_an_instance_that_is_pasted_over_is_dropped_and_others_lose_those_pixels() -> None:
    batch = batch_of(2)
    top, left, bottom, right = boxes_of(100, HEIGHT, WIDTH)[0]
    small = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    small[top : top + 4, left : left + 4] = True
    first = batch.targets[0]
    assert first.masks is not None
    with_small = replace(first, masks=torch.cat([first.masks, small[None]]), labels=torch.tensor([ROAD, CAR, CAR]))
    empty = replace(batch.targets[1], masks=first.masks[:0], labels=torch.zeros(0, dtype=torch.int64))
    mixed = cut_mix(replace(batch, targets=[with_small, empty]), (CAR,)).targets[0]
    assert mixed.masks is not None
    assert not mixed.masks[:, top:bottom, left:right].any()
    assert all(not (mask & small).any() for mask in mixed.masks)


def test_the_same_seeds_give_the_same_batch_and_the_given_one_is_left_alone() -> None:
    batch = batch_of(4)
    before = batch.images.clone()
    assert torch.equal(cut_mix(batch, (CAR,)).images, cut_mix(batch, (CAR,)).images)
    assert torch.equal(batch.images, before)


def test_labelled_pictures_get_nothing_from_pseudo_labelled_ones_and_a_lone_row_stays_whole() -> None:
    batch = batch_of(4, labelled=3)
    mixed = cut_mix(batch, (CAR,))
    assert mixed.images[:3].max() <= 3
    assert mixed.targets[3] is batch.targets[3]
    assert (mixed.images[3] == 4).all()


def test_what_one_side_lacks_is_unknown_there_and_never_taken_for_background() -> None:
    batch = batch_of(2)
    bare = replace(batch.targets[1], masks=None, labels=None, semantic=None, depth_m=None)
    mixed = cut_mix(replace(batch, targets=[batch.targets[0], bare]), (CAR,))
    from_mate = mixed.images[0, 0] == 2
    labelled, unlabelled = mixed.targets
    assert labelled.semantic is not None
    assert torch.equal(labelled.semantic == 255, from_mate)
    assert labelled.depth_m is not None
    assert torch.equal(labelled.depth_m.isnan(), from_mate)
    assert labelled.masks is None
    assert unlabelled.semantic is not None
    assert torch.equal(unlabelled.semantic != 255, mixed.images[1, 0] == 1)


def test_a_target_without_seed_is_refused() -> None:
    batch = batch_of(2)
    with pytest.raises(DataError, match='draws by the seed'):
        cut_mix(replace(batch, targets=[replace(batch.targets[0], seed=None), batch.targets[1]]), (CAR,))
