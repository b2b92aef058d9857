# SPDX-License-Identifier: Apache-2.0
"""Views: picture and labels move together, depth follows the focal length, and a seed decides everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cast_train.data import Augmentation, Sample, make_targets, make_view
from cast_train.data.augment import CROWD
from cast_train.data.segments import Segments

PLAIN = Augmentation(zoom=3.0, whole=0.0, flip=0.5, brightness=0, contrast=0, saturation=0, noise=0, blur=0)


def sample_with_a_red_car() -> Sample:
    image = np.zeros((64, 128, 3), np.uint8)
    ids = np.zeros((64, 128), np.uint16)
    image[20:44, 30:90, 0] = 255
    ids[20:44, 30:90] = 1
    semantic = np.where(ids > 0, 9, 0).astype(np.uint8)
    return Sample('a', image, ids, np.array([9]), None, semantic, np.full((64, 128), 10, np.float32), fx_px=100.0)


@pytest.mark.parametrize('seed', range(8))
def test_labels_stay_on_their_pixels(seed: int) -> None:
    view = make_view(sample_with_a_red_car(), 64, 128, 100.0, 80.0, PLAIN, [seed])
    assert view.instance_ids is not None
    assert view.semantic is not None
    red = view.image[0] > 127
    assert ((view.instance_ids == 1) == red).float().mean() > 0.98
    assert torch.equal(view.instance_ids == 1, view.semantic == 9)


@pytest.mark.parametrize('seed', range(4))
def test_what_teachers_say_stays_on_its_pixels(seed: int) -> None:
    bare = sample_with_a_red_car()
    assert bare.instance_ids is not None
    car = bare.instance_ids > 0
    segments = Segments.of_masks(np.stack([car, np.ones_like(car)]))
    view = make_view(replace(bare, segments=segments, disparity=car.astype(np.float32)), 64, 128, 1, 80, PLAIN, [seed])
    targets = make_targets(view, ())
    assert view.instance_ids is not None
    assert targets.segments is not None
    assert torch.equal(targets.segments[1], view.instance_ids == 1)
    assert targets.segments[0].all()
    assert targets.disparity is not None
    assert torch.equal(targets.disparity == 1, view.instance_ids == 1)


def test_a_view_without_a_segment_has_an_empty_stack() -> None:
    nothing = Segments.of_masks(np.zeros((0, 64, 128), bool))
    view = make_view(replace(sample_with_a_red_car(), segments=nothing), 32, 64, 1, 80, None, [0])
    assert view.segments is not None
    assert view.segments.shape == (0, 32, 64)


def test_depth_is_scaled_to_the_reference_focal_length_of_the_view() -> None:
    whole = make_view(sample_with_a_red_car(), 32, 64, 100.0, 80.0, None, [0])
    assert whole.depth_m is not None
    # fx at half the size is 50 px, so a camera of 100 px would see the same picture from twice as far.
    assert torch.allclose(whole.depth_m, torch.tensor(20.0))
    crop = make_view(sample_with_a_red_car(), 64, 128, 100.0, 80.0, PLAIN, [3])
    assert crop.depth_m is not None
    assert float(crop.depth_m.max()) <= 10.0
    assert float(crop.depth_m.min()) >= 10.0 / PLAIN.zoom - 0.1


@pytest.mark.parametrize('seed', range(4))
def test_parts_of_a_picture_look_nearer_whether_its_camera_is_known_or_not(seed: int) -> None:
    known = make_view(sample_with_a_red_car(), 64, 128, 100.0, 80.0, PLAIN, [seed])
    unknown = make_view(replace(sample_with_a_red_car(), fx_px=None), 64, 128, 100.0, 80.0, PLAIN, [seed])
    assert known.depth_m is not None
    assert unknown.depth_m is not None
    assert torch.equal(known.depth_m, unknown.depth_m)
    whole = make_view(replace(sample_with_a_red_car(), fx_px=None), 32, 64, 100.0, 80.0, None, [seed])
    assert whole.depth_m is not None
    assert torch.allclose(whole.depth_m, torch.tensor(10.0))


def test_depth_beyond_the_cap_is_not_learned_whatever_the_scale() -> None:
    view = make_view(sample_with_a_red_car(), 64, 128, 1000.0, 9.0, None, [0])
    assert view.depth_m is not None
    assert view.depth_m.isnan().all()
    kept = make_view(sample_with_a_red_car(), 64, 128, 1000.0, 11.0, None, [0])
    assert kept.depth_m is not None
    assert torch.allclose(kept.depth_m, torch.tensor(100.0))


def test_endless_depth_is_told_from_unknown_depth() -> None:
    sample = sample_with_a_red_car()
    assert sample.depth_m is not None
    sample.depth_m[:8], sample.depth_m[8:16] = np.inf, np.nan
    view = make_view(sample, 64, 128, 100.0, 80.0, None, [0])
    assert view.depth_m is not None
    assert view.endless is not None
    assert view.endless[:8].all()
    assert not view.endless[8:].any()
    assert view.depth_m[:16].isnan().all()
    assert make_view(replace(sample, depth_m=None), 64, 128, 100.0, 80.0, None, [0]).endless is None


def test_the_same_seed_gives_the_same_view_and_another_seed_another() -> None:
    first, again, other = (
        make_view(sample_with_a_red_car(), 32, 64, 1.0, 80.0, Augmentation(whole=0.0), seed)
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)


def test_targets_have_a_row_for_each_instance_and_stuff_class() -> None:
    view = make_view(sample_with_a_red_car(), 64, 128, 100.0, 80.0, None, [0])
    targets = make_targets(view, thing_ids=(9,))
    assert targets.labels is not None
    assert targets.masks is not None
    assert targets.labels.tolist() == [0, 9]
    assert int(targets.masks[1].sum()) == 24 * 60
    assert int(targets.masks[0].sum()) == 64 * 128 - 24 * 60


def test_crowds_and_specks_are_not_learned() -> None:
    sample = sample_with_a_red_car()
    crowd = Sample('c', sample.image, sample.instance_ids, np.array([9]), np.array([True]), sample.semantic)
    view = make_view(crowd, 64, 128, 1.0, 80.0, None, [0])
    assert view.instance_labels is not None
    assert view.instance_labels.tolist() == [CROWD]
    assert make_targets(view, (9,)).labels is not None
    assert 9 not in make_targets(view, (9,)).labels.tolist()  # type: ignore[union-attr]
    speck = make_view(sample, 64, 128, 1.0, 80.0, None, [0])
    assert 9 not in make_targets(speck, (9,), smallest_px=24 * 60 + 1).labels.tolist()  # type: ignore[union-attr]


def test_missing_labels_stay_missing() -> None:
    view = make_view(Sample('bare', np.zeros((40, 60, 3), np.uint8)), 32, 64, 1.0, 80.0, Augmentation(), [0])
    targets = make_targets(view, (0,))
    assert view.image.shape == (3, 32, 64)
    assert (targets.masks, targets.labels, targets.semantic, targets.depth_m) == (None, None, None, None)


def test_a_semantic_map_alone_gives_mask_targets_only_where_no_class_can_be_counted() -> None:
    semantic = np.ones((32, 64), np.uint8)
    semantic[:8], semantic[8:10] = 3, 255
    view = make_view(Sample('s', np.zeros((32, 64, 3), np.uint8), semantic=semantic), 32, 64, 1.0, 80.0, None, [0])
    counted = make_targets(view, (3,))
    assert counted.masks is None
    assert counted.semantic is not None
    targets = make_targets(view, ())
    assert targets.masks is not None
    assert targets.labels is not None
    assert targets.labels.tolist() == [1, 3]
    assert targets.masks.sum((1, 2)).tolist() == [22 * 64, 8 * 64]
