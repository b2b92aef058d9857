# SPDX-License-Identifier: Apache-2.0
"""Boxes to masks: geometry there and back, and that the network learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cast_train.models.promptable import (
    PromptableMasks,
    PromptableSize,
    box_sizes,
    boxes_around,
    enlarge,
    jitter,
    mask_loss,
    paste,
    read_targets,
)

SIZE = PromptableSize(
    backbone='mobilenetv4_conv_small_050', channels=16, fine_channels=16, head_channels=16, grid=8, margin=0.25
)


def discs(*places: tuple[int, int, int], height: int = 64, width: int = 96) -> Tensor:
    """Bool masks of discs: row, column, radius."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    return torch.stack([(rows - y) ** 2 + (columns - x) ** 2 <= r * r for y, x, r in places])


def iou(one: Tensor, other: Tensor) -> Tensor:
    return (one & other).sum((1, 2)) / (one | other).sum((1, 2))


def test_boxes_surround_masks_with_exclusive_ends() -> None:
    masks = torch.zeros(2, 10, 20, dtype=torch.bool)
    masks[0, 2:5, 3:9] = True
    masks[1, 9, 19] = True
    assert boxes_around(masks).tolist() == [[3, 2, 9, 5], [19, 9, 20, 10]]
    assert boxes_around(masks[:0]).shape == (0, 4)


def test_enlarging_keeps_the_centre_and_widens_what_has_no_size() -> None:
    assert enlarge(torch.tensor([[10.0, 20.0, 30.0, 24.0]]), 0.25).tolist() == [[5, 19, 35, 25]]
    assert enlarge(torch.tensor([[10.0, 20.0, 10.0, 20.0]]), 0.0).tolist() == [[9.5, 19.5, 10.5, 20.5]]


def test_masks_read_in_regions_and_pasted_back_are_the_same_masks() -> None:
    masks = discs((30, 40, 12), (10, 90, 8), (60, 5, 9), (40, 70, 3))
    regions = enlarge(boxes_around(masks), 0.25)
    read = read_targets([masks], [regions], side=32)
    assert read.shape == (4, 32, 32)
    assert (paste(read, regions, (64, 96), (64, 96)) >= 0.5).sum() > 0
    assert iou(paste(read, regions, (64, 96), (64, 96)) >= 0.5, masks).min() > 0.9
    half = paste(read, regions, (32, 48), (64, 96)) >= 0.5
    coarse = iou(half.repeat_interleave(2, 1).repeat_interleave(2, 2), masks)
    assert coarse[:3].min() > 0.85
    assert coarse[3] > 0.7  # seven pixels across on cells of two


def test_pasting_touches_nothing_outside_the_region() -> None:
    pasted = paste(torch.ones(1, 8, 8), torch.tensor([[10.0, 20.0, 30.0, 40.0]]), (64, 96), (64, 96))[0]
    assert (pasted[21:39, 11:29] == 1).all()
    pasted[19:41, 9:31] = 0
    assert not pasted.any()


def test_jitter_is_seeded_bounded_and_unbiased() -> None:
    boxes = torch.tensor([[10.0, 20.0, 50.0, 40.0]]).repeat(500, 1)
    one, other = (jitter(boxes, 0.1, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
    shift = (one[:, :2] + one[:, 2:]) / 2 - (boxes[:, :2] + boxes[:, 2:]) / 2
    assert (shift.abs() <= 0.2 * box_sizes(boxes) + 1e-3).all()
    assert shift.mean(0).abs().max() < 0.5
    assert box_sizes(one).std(0).tolist() == pytest.approx([4, 2], rel=0.2)
    assert torch.equal(jitter(boxes, 0.0, torch.Generator()), boxes)


def test_the_loss_is_small_for_the_truth_large_for_its_opposite_and_zero_for_nothing() -> None:
    targets = torch.zeros(1, 8, 8)
    targets[:, 2:6, 2:6] = 1
    right = mask_loss((targets - 0.5) * 40, targets)
    wrong = mask_loss((0.5 - targets) * 40, targets)
    assert max(value.item() for value in right.values()) < 1e-3
    assert wrong['dice'].item() > 0.9
    assert wrong['mask'].item() > 10
    empty = mask_loss(torch.zeros(0, 8, 8, requires_grad=True), torch.zeros(0, 8, 8))
    assert [value.item() for value in empty.values()] == [0.0, 0.0]


def test_every_box_of_every_picture_has_its_mask_in_order() -> None:
    torch.manual_seed(0)
    network = PromptableMasks(SIZE).eval()
    pictures = torch.randint(0, 255, (3, 3, 64, 96), dtype=torch.uint8)
    boxes = [torch.tensor([[4.0, 4, 20, 20], [30, 30, 60, 60]]), torch.zeros(0, 4), torch.tensor([[-5.0, -5, 9, 99]])]
    with torch.no_grad():
        together = network(pictures, boxes)
        assert together.shape == (3, network.mask_side, network.mask_side)
        assert together.isfinite().all()
        assert torch.allclose(network(pictures[2:], boxes[2:]), together[2:], atol=1e-4)
        assert network(pictures[1:2], boxes[1:2]).shape == (0, network.mask_side, network.mask_side)


def test_it_learns_discs_of_one_picture() -> None:
    torch.manual_seed(0)
    network = PromptableMasks(SIZE)
    masks = discs((20, 25, 12), (40, 70, 15))
    picture = (masks.any(0) * 200).to(torch.uint8).expand(1, 3, -1, -1)
    boxes = [boxes_around(masks)]
    regions = [network.regions(boxes[0])]
    targets = read_targets([masks], regions, network.mask_side)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(25):
        loss = torch.stack(list(mask_loss(network(picture, boxes), targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        drawn = paste(network(picture, boxes).sigmoid(), regions[0], (64, 96), (64, 96)) >= 0.5
    assert iou(drawn, masks).min() > 0.85
