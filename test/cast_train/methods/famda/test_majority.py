# SPDX-License-Identifier: Apache-2.0
"""Class-agnostic masks correct a class map."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cast_train.methods.famda.labels import best_segments, majority_vote

WALL, POLE, SIGN = 0, 1, 2


def slow_vote(labels: torch.Tensor, segments: torch.Tensor, least_share: float, protected: tuple[int, ...]) -> list:
    """The same, pixel by pixel: large masks first, small ones over them."""
    painted = labels.tolist()
    height, width = labels.shape
    for mask in segments.tolist():
        inside = [(y, x) for y in range(height) for x in range(width) if mask[y][x]]
        votes = [int(labels[y, x]) for y, x in inside if labels[y, x] != 255]
        if not votes:
            continue
        winner = min(set(votes), key=lambda label: (-votes.count(label), label))
        if votes.count(winner) > least_share * len(votes):
            for y, x in inside:
                painted[y][x] = winner
    for y in range(height):
        for x in range(width):
            if int(labels[y, x]) in protected:
                painted[y][x] = int(labels[y, x])
    return painted


@given(seed=st.integers(0, 10_000), masks=st.integers(0, 5), least_share=st.sampled_from([0.0, 0.5, 0.8]))
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_painting_pixel_by_pixel(seed: int, masks: int, least_share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (6, 7), generator=generator)
    labels[labels == 3] = 255
    segments = torch.rand(masks, 6, 7, generator=generator) < 0.4
    for protected in ((), (POLE,)):
        found = majority_vote(labels, segments, 3, least_share, protected)
        assert found.tolist() == slow_vote(labels, segments, least_share, protected)


def test_a_wall_swallows_a_pole_that_is_no_mask_of_its_own_unless_poles_are_protected() -> None:
    labels = torch.full((10, 10), WALL)
    labels[:, 4] = POLE
    wall = torch.ones(1, 10, 10, dtype=torch.bool)
    assert not (majority_vote(labels, wall, 3, 0.6) == POLE).any()
    assert torch.equal(majority_vote(labels, wall, 3, 0.6, (POLE,)), labels)


def test_a_small_mask_over_a_large_one_keeps_its_own_class() -> None:
    labels = torch.full((10, 10), WALL)
    labels[2:5, 2:5] = SIGN
    labels[2, 2] = POLE
    large, small = torch.ones(10, 10, dtype=torch.bool), torch.zeros(10, 10, dtype=torch.bool)
    small[2:5, 2:5] = True
    found = majority_vote(labels, torch.stack([large, small]), 3, 0.6)
    assert (found[small] == SIGN).all()
    assert (found[~small] == WALL).all()


def test_an_instance_takes_the_segment_that_overlaps_it_well_enough() -> None:
    mask, segment = torch.zeros(10, 10, dtype=torch.bool), torch.zeros(10, 10, dtype=torch.bool)
    mask[2:6, 2:6] = True
    segment[2:7, 2:6] = True  # IoU 16 / 20
    other = torch.zeros(10, 10, dtype=torch.bool)
    other[7:, 7:] = True
    assert torch.equal(best_segments(mask[None], torch.stack([other, segment]), 0.7)[0], segment)
    assert torch.equal(best_segments(mask[None], torch.stack([other, segment]), 0.9)[0], mask)
    assert torch.equal(best_segments(mask[None], segment[None][:0], 0.7)[0], mask)
