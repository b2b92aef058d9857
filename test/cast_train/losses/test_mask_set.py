# SPDX-License-Identifier: Apache-2.0
"""The set loss against slow, obvious references."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from cast_train.data import Targets
from cast_train.losses import MaskSetWeights, mask_set_loss, match
from cast_train.losses.mask_set import bce_cost, box_cost, dice_cost
from cast_train.losses.points import boxes_of, loss_points, read_at, read_nearest
from cast_train.models import QueryPrediction

WEIGHTS = MaskSetWeights(points=300)


def two_squares() -> Targets:
    masks = torch.zeros(2, 32, 64, dtype=torch.bool)
    masks[0, 4:12, 4:20] = True
    masks[1, 16:28, 40:60] = True
    return Targets(masks, torch.tensor([0, 2]), None, None)


def perfect(targets: Targets, queries: int = 5, classes: int = 3, strength: float = 12.0) -> QueryPrediction:
    assert targets.masks is not None
    assert targets.labels is not None
    class_logits = torch.full((1, queries, classes + 1), -strength)
    class_logits[..., classes] = strength
    mask_logits = torch.full((1, queries, 32, 64), -strength)
    for row, (mask, label) in enumerate(zip(targets.masks, targets.labels.tolist(), strict=True)):
        class_logits[0, queries - 1 - row] = -strength
        class_logits[0, queries - 1 - row, label] = strength
        mask_logits[0, queries - 1 - row][mask] = strength
    boxes = torch.full((1, queries, 4), 0.5)
    for row, (x0, y0, x1, y1) in enumerate(boxes_of(targets.masks).tolist()):
        boxes[0, queries - 1 - row] = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
    return QueryPrediction(class_logits, mask_logits, boxes)


def test_pairwise_costs_agree_with_loops() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 20), torch.rand(2, 20)
    for n, m in itertools.product(range(3), range(2)):
        p = [1 / (1 + math.exp(-x)) for x in logits[n].tolist()]
        t = targets[m].tolist()
        bce = -sum(b * math.log(a) + (1 - b) * math.log(1 - a) for a, b in zip(p, t, strict=True)) / 20
        dice = 1 - (2 * sum(a * b for a, b in zip(p, t, strict=True)) + 1) / (sum(p) + sum(t) + 1)
        assert bce_cost(logits, targets)[n, m] == pytest.approx(bce, rel=1e-5)
        assert dice_cost(logits, targets)[n, m] == pytest.approx(dice, rel=1e-5)


def test_the_box_cost_is_distance_and_generalised_overlap() -> None:
    boxes = torch.tensor([[0.25, 0.25, 0.5, 0.5]])
    targets = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    same, apart = box_cost(boxes, targets)[0].tolist()
    assert same == pytest.approx(0.0, abs=1e-6)
    # Half a picture away in x and y; no overlap, and half of the hull is empty.
    assert apart == pytest.approx(2.5 * 1.0 + 1 - (0 - 0.5), rel=1e-5)


def test_matching_finds_the_cheapest_assignment_of_all() -> None:
    torch.manual_seed(1)
    class_logits, mask_logits, boxes = torch.randn(4, 4), torch.randn(4, 6, 6), torch.rand(4, 4) / 2 + 0.2
    labels, masks = torch.tensor([0, 1, 2]), torch.rand(3, 6, 6)
    corners = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 0.5], [0.2, 0.2, 0.9, 0.9]])
    cost = (
        -2 * class_logits.softmax(-1)[:, labels]
        + 5 * bce_cost(mask_logits.flatten(1), masks.flatten(1))
        + 5 * dice_cost(mask_logits.flatten(1), masks.flatten(1))
        + 2 * box_cost(boxes, corners)
    )
    best = min(itertools.permutations(range(4), 3), key=lambda rows: sum(float(cost[r, c]) for c, r in enumerate(rows)))
    rows, columns = match(QueryPrediction(class_logits, mask_logits, boxes), labels, masks, corners, WEIGHTS)
    assert {c: r for r, c in zip(rows.tolist(), columns.tolist(), strict=True)} == dict(enumerate(best))


def test_a_perfect_prediction_costs_next_to_nothing_and_a_wrong_one_does_not() -> None:
    targets = two_squares()
    good = mask_set_loss([perfect(targets)], [targets], WEIGHTS)
    assert sum(term.item() for term in good.values()) < 0.1
    swapped = perfect(targets)
    swapped.class_logits[0, 3:] = swapped.class_logits[0, 3:].flip(0)
    assert mask_set_loss([swapped], [targets], WEIGHTS)['classification'].item() > 1.0
    shifted = perfect(targets)._replace(mask_logits=perfect(targets).mask_logits.roll(12, -1))
    assert mask_set_loss([shifted], [targets], WEIGHTS)['dice'].item() > 2.0
    enlarged = perfect(targets)._replace(boxes=perfect(targets).boxes * 1.5)
    assert good['box'].item() == pytest.approx(0.0, abs=1e-4)
    assert mask_set_loss([enlarged], [targets], WEIGHTS)['box'].item() > 1.0


def test_the_class_term_is_the_weighted_cross_entropy_of_matched_and_unmatched_queries() -> None:
    targets = two_squares()
    prediction = perfect(targets, strength=2.0)
    found = mask_set_loss([prediction], [targets], WEIGHTS)['classification'].item()
    right, others = math.exp(2.0), 3 * math.exp(-2.0)
    # Every query is right with the same margin, so the weights cancel in the weighted mean.
    assert found == pytest.approx(2.0 * -math.log(right / (right + others)), rel=1e-5)


def test_every_level_counts_alike() -> None:
    targets = two_squares()
    once = mask_set_loss([perfect(targets, strength=1.0)], [targets], WEIGHTS)['classification']
    thrice = mask_set_loss([perfect(targets, strength=1.0)] * 3, [targets], WEIGHTS)['classification']
    assert thrice.item() == pytest.approx(3 * once.item(), rel=1e-6)


def test_gradients_reach_masks_and_classes_and_pull_the_right_way() -> None:
    targets = two_squares()
    masks = torch.zeros(1, 5, 32, 64, requires_grad=True)
    classes = torch.zeros(1, 5, 4, requires_grad=True)
    boxes = torch.full((1, 5, 4), 0.4, requires_grad=True)
    torch.manual_seed(0)
    torch.stack(
        list(mask_set_loss([QueryPrediction(classes, masks, boxes)], [targets], WEIGHTS).values())
    ).sum().backward()
    assert classes.grad is not None
    assert masks.grad is not None
    assert boxes.grad is not None
    assert boxes.grad.abs().sum() > 0
    assert classes.grad.abs().sum() > 0
    assert targets.masks is not None
    row = next(r for r in range(5) if masks.grad[0, r].abs().sum() > 0)
    inside = max(float(-masks.grad[0, row][mask].sum()) for mask in targets.masks)
    assert inside > 0, 'inside its target a mask must grow'


def test_pictures_without_mask_labels_or_without_objects_are_survived() -> None:
    bare = Targets(None, None, None, None)
    empty = Targets(torch.zeros(0, 32, 64, dtype=torch.bool), torch.zeros(0, dtype=torch.int64), None, None)
    prediction = perfect(two_squares())
    nothing = mask_set_loss([prediction], [bare], WEIGHTS)
    assert all(term.item() == 0 for term in nothing.values())
    only_background = mask_set_loss([prediction], [empty], WEIGHTS)
    assert only_background['dice'].item() == 0
    assert only_background['classification'].item() > 0
    both = QueryPrediction(*(torch.cat([part, part]) for part in prediction))
    assert math.isfinite(sum(t.item() for t in mask_set_loss([both], [two_squares(), bare], WEIGHTS).values()))


def test_points_read_what_lies_under_them() -> None:
    maps = torch.arange(12.0).reshape(1, 3, 4)
    centres = torch.tensor([[[0.125, 1 / 6], [0.875, 5 / 6]]])
    assert read_at(maps, centres).tolist() == [pytest.approx([0.0, 11.0], abs=1e-5)]
    masks = maps > 5
    assert read_nearest(masks, torch.tensor([0, 0]), centres.repeat(2, 1, 1)).tolist() == [[0.0, 1.0]] * 2


def test_boxes_enclose_masks_and_points_favour_them() -> None:
    targets = two_squares()
    assert targets.masks is not None
    boxes = boxes_of(targets.masks)
    expected: Tensor = torch.tensor([[4 / 64, 4 / 32, 20 / 64, 12 / 32], [40 / 64, 16 / 32, 60 / 64, 28 / 32]])
    assert torch.allclose(boxes, expected)
    torch.manual_seed(0)
    points = loss_points(torch.zeros(2, 32, 64), boxes, 400)
    assert points.shape == (2, 400, 2)
    assert points.min() >= 0
    assert points.max() <= 1
    for row, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        x, y = points[row].T
        share = ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).float().mean()
        area = (x1 - x0) * (y1 - y0)
        assert share > area + 0.1
