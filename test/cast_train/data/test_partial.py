# SPDX-License-Identifier: Apache-2.0
"""Partial labels on their way from the picture to the losses: views, masks, and one picture pasted onto another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cast_train.data import Augmentation, Batch, Sample, Targets, make_targets, make_view
from cast_train.data.partial import pasted_knowledge
from cast_train.methods.famda.classmix import Side, class_mix

CROPS = Augmentation(zoom=3.0, whole=0.0, flip=0.5, brightness=0, contrast=0, saturation=0, noise=0, blur=0)
UNIONS = ((1, 2), (3, 4))


def partial_sample() -> Sample:
    """Red where the first union is, green where the second is, black road."""
    image = np.zeros((64, 128, 3), np.uint8)
    unions = np.zeros((64, 128), np.uint8)
    image[:20, :, 0], unions[:20] = 255, 1
    image[40:60, 30:90, 1], unions[40:60, 30:90] = 255, 2
    semantic = np.where(unions > 0, 255, 0).astype(np.uint8)
    return Sample('a', image, semantic=semantic, union_ids=unions, unions=UNIONS, complete=())


@pytest.mark.parametrize('seed', range(8))
def test_unions_stay_on_their_pixels(seed: int) -> None:
    view = make_view(partial_sample(), 64, 128, 100.0, 80.0, CROPS, [seed])
    assert view.union_ids is not None
    assert view.semantic is not None
    for channel, number in ((0, 1), (1, 2)):
        assert ((view.union_ids == number) == (view.image[channel] > 127)).float().mean() > 0.97
    assert torch.equal(view.semantic == 255, view.union_ids > 0)
    targets = make_targets(view, (4,))
    assert targets.union_ids is not None
    assert (targets.unions, targets.complete) == (UNIONS, ())
    assert torch.equal(targets.union_ids, view.union_ids.long())


def test_sparse_depth_stays_sparse_and_no_beam_is_made_up() -> None:
    depth = np.full((64, 128), np.nan, np.float32)
    depth[::8, ::8] = 10
    sample = Sample('a', np.zeros((64, 128, 3), np.uint8), depth_m=depth, fx_px=100.0)
    for seed in range(8):
        view = make_view(sample, 64, 128, 100.0, 80.0, CROPS, [seed])
        assert view.depth_m is not None
        known = view.depth_m.isfinite()
        assert known.any()
        assert known.float().mean() < 0.03
        assert view.depth_m[known].unique().numel() == 1, 'nothing is blended'


def test_a_class_map_without_objects_has_regions_of_stuff_only_where_the_recipe_says_what_is_complete() -> None:
    bare = replace(partial_sample(), complete=None, union_ids=None)
    assert make_targets(make_view(bare, 64, 128, 1, 80, None, [0]), (4,)).masks is None
    targets = make_targets(make_view(partial_sample(), 64, 128, 1, 80, None, [0]), (4,))
    assert targets.labels is not None
    assert targets.labels.tolist() == [0]
    assert targets.unsure is None, 'neither union can be road'
    void = partial_sample()
    assert void.semantic is not None
    semantic = void.semantic.copy()
    semantic[30:34] = 255
    targets = make_targets(make_view(replace(void, semantic=semantic), 64, 128, 1, 80, None, [0]), (4,))
    assert targets.unsure is not None
    assert targets.unsure[0, 30:34].all()
    assert int(targets.unsure.sum()) == 4 * 128
    open_road = replace(void, unions=((0, 1), (3, 4)))
    targets = make_targets(make_view(open_road, 64, 128, 1, 80, None, [0]), (4,))
    assert targets.unsure is not None
    assert int(targets.unsure.sum()) == 20 * 128


def test_a_batch_carries_partial_labels_to_its_device() -> None:
    targets = make_targets(
        make_view(replace(partial_sample(), unions=((0, 1), (3, 4))), 64, 128, 1, 80, None, [0]), (4,)
    )
    moved = Batch(torch.zeros(1, 3, 64, 128, dtype=torch.uint8), [targets], 1).to(torch.device('meta')).targets[0]
    assert moved.union_ids is not None
    assert moved.unsure is not None
    assert moved.union_ids.device.type == moved.unsure.device.type == 'meta'
    assert moved.unions == ((0, 1), (3, 4))


def plain_targets(label: int) -> Targets:
    semantic = torch.full((4, 6), label)
    return Targets((semantic == label)[None], torch.tensor([label]), semantic, None)


def test_pasting_keeps_the_unions_of_both_and_only_what_both_have_complete() -> None:
    paste = torch.zeros(4, 6, dtype=torch.bool)
    paste[:, :3] = True
    unknown = torch.full((4, 6), 255)
    own = replace(
        plain_targets(0), semantic=unknown, union_ids=torch.ones_like(unknown), unions=((1, 2),), complete=(8,)
    )
    below = replace(plain_targets(0), semantic=unknown, union_ids=torch.ones_like(unknown), unions=((3, 0),))
    mixed = replace(plain_targets(0), semantic=unknown)
    found = pasted_knowledge(mixed, own, below, paste, (8, 9))
    assert found.unions == ((1, 2), (3, 0))
    assert found.union_ids is not None
    assert found.union_ids[0].tolist() == [1, 1, 1, 2, 2, 2]
    assert found.complete == (8,)
    assert found.unsure is not None
    assert found.unsure[0, 0].tolist() == [False] * 3 + [True] * 3, 'only the second union may be class 0'
    assert pasted_knowledge(mixed, plain_targets(0), plain_targets(1), paste, (8, 9)) is mixed


def test_class_mix_does_not_turn_unlabelled_objects_into_background() -> None:
    image = torch.zeros(3, 4, 6, dtype=torch.uint8)
    full, some = plain_targets(0), replace(plain_targets(1), complete=())
    mixed = class_mix(Side(image, full), Side(image, some), (8,), 1.0, seed=0).targets
    assert mixed.complete == ()
    assert class_mix(Side(image, full), Side(image, plain_targets(1)), (8,), 1.0, seed=0).targets.complete is None
