# SPDX-License-Identifier: Apache-2.0
"""The set loss against slow, obvious references."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torchvision.ops import generalized_box_iou

from cast_train.data import Targets
from cast_train.losses.mask_set import MaskSetWeights, box_cost, mask_cost, mask_set_loss, match
from cast_train.losses.points import boxes_of, coarse_masks, loss_points, random_points, read_at, read_nearest
from cast_train.models import QueryPrediction

WEIGHTS = MaskSetWeights(points=300)
# All classes are things, so that a picture without a semantic map leaves nothing open.
EVERY = (0, 1, 2)


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
        assert mask_cost(logits, targets, 1, 0)[n, m] == pytest.approx(bce, rel=1e-5)
        assert mask_cost(logits, targets, 0, 1)[n, m] == pytest.approx(dice, rel=1e-5)
        assert mask_cost(logits, targets, 5, 3)[n, m] == pytest.approx(5 * bce + 3 * dice, rel=1e-5)


def test_the_box_cost_is_distance_and_generalised_overlap() -> None:
    boxes = torch.tensor([[0.25, 0.25, 0.5, 0.5]])
    targets = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    same, apart = box_cost(boxes, targets)[0].tolist()
    assert same == pytest.approx(0.0, abs=1e-6)
    # Half a picture away in x and y; no overlap, and half of the hull is empty.
    assert apart == pytest.approx(2.5 * 1.0 + 1 - (0 - 0.5), rel=1e-5)


def test_costs_of_large_logits_are_exact() -> None:
    logits, targets = torch.tensor([[-300.0, 300.0, 40.0, -17.0]]), torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    assert mask_cost(logits, targets, 1, 0).item() == pytest.approx((300 + 300 + 0 + 0) / 4, rel=1e-6)


def test_box_costs_of_many_pairs_agree_with_torchvision() -> None:
    torch.manual_seed(0)
    boxes, corners = torch.rand(2, 5, 4) / 2 + 0.2, torch.rand(2, 3, 4) / 2
    corners[..., 2:] += 0.5
    found = box_cost(boxes, corners)
    assert found.shape == (2, 5, 3)
    for picture in range(2):
        low, high = boxes[picture, :, :2] - boxes[picture, :, 2:] / 2, boxes[picture, :, :2] + boxes[picture, :, 2:] / 2
        overlap = generalized_box_iou(torch.cat([low, high], 1), corners[picture])
        middles = torch.cat([(corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]], -1)
        distance = (boxes[picture, :, None] - middles[picture][None]).abs().sum(-1)
        assert torch.allclose(found[picture], 2.5 * distance + 1 - overlap, atol=1e-5)


def test_matching_finds_the_cheapest_assignment_of_all() -> None:
    torch.manual_seed(1)
    class_logits, mask_logits, boxes = torch.randn(3, 4, 4), torch.randn(3, 4, 6, 6), torch.rand(3, 4, 4) / 2 + 0.2
    masks = torch.rand(4, 12, 12) > 0.6
    # The second picture has no labels, the third fewer objects than the first: nothing may mix.
    targets = [
        Targets(masks[:3], torch.tensor([0, 1, 2]), None, None),
        Targets(None, None, None, None),
        Targets(masks[3:], torch.tensor([1]), None, None),
    ]
    found = match(QueryPrediction(class_logits, mask_logits, boxes), targets, WEIGHTS)
    assert len(found) == 2
    for picture, (rows, columns) in zip((0, 2), found, strict=True):
        target = targets[picture]
        assert target.masks is not None
        assert target.labels is not None
        count = len(target.labels)
        coarse = adaptive_avg_pool2d(target.masks.float(), (6, 6)).flatten(1)
        cost = (
            -2 * class_logits[picture].softmax(-1)[:, target.labels]
            + mask_cost(mask_logits[picture].flatten(1), coarse, 5, 5)
            + 2 * box_cost(boxes[picture], boxes_of(target.masks))
        )
        best = min(
            itertools.permutations(range(4), count), key=lambda rows: sum(float(cost[r, c]) for c, r in enumerate(rows))
        )
        assert {c: r for r, c in zip(rows.tolist(), columns.tolist(), strict=True)} == dict(enumerate(best))


def test_a_perfect_prediction_costs_next_to_nothing_and_a_wrong_one_does_not() -> None:
    targets = two_squares()
    good = mask_set_loss([perfect(targets)], [targets], WEIGHTS, EVERY)
    assert sum(term.item() for term in good.values()) < 0.1
    swapped = perfect(targets)
    swapped.class_logits[0, 3:] = swapped.class_logits[0, 3:].flip(0)
    assert mask_set_loss([swapped], [targets], WEIGHTS, EVERY)['classification'].item() > 1.0
    shifted = perfect(targets)._replace(mask_logits=perfect(targets).mask_logits.roll(12, -1))
    assert mask_set_loss([shifted], [targets], WEIGHTS, EVERY)['dice'].item() > 2.0
    enlarged = perfect(targets)._replace(boxes=perfect(targets).boxes * 1.5)
    assert good['box'].item() == pytest.approx(0.0, abs=1e-4)
    assert mask_set_loss([enlarged], [targets], WEIGHTS, EVERY)['box'].item() > 1.0


def test_the_class_term_is_the_weighted_cross_entropy_of_matched_and_unmatched_queries() -> None:
    targets = two_squares()
    prediction = perfect(targets, strength=2.0)
    found = mask_set_loss([prediction], [targets], WEIGHTS, EVERY)['classification'].item()
    right, others = math.exp(2.0), 3 * math.exp(-2.0)
    # Every query is right with the same margin, so the weights cancel in the weighted mean.
    assert found == pytest.approx(2.0 * -math.log(right / (right + others)), rel=1e-5)


def test_every_level_counts_alike() -> None:
    targets = two_squares()
    once = mask_set_loss([perfect(targets, strength=1.0)], [targets], WEIGHTS, EVERY)['classification']
    thrice = mask_set_loss([perfect(targets, strength=1.0)] * 3, [targets], WEIGHTS, EVERY)['classification']
    assert thrice.item() == pytest.approx(3 * once.item(), rel=1e-6)


def test_gradients_reach_masks_and_classes_and_pull_the_right_way() -> None:
    targets = two_squares()
    masks = torch.zeros(1, 5, 32, 64, requires_grad=True)
    classes = torch.zeros(1, 5, 4, requires_grad=True)
    boxes = torch.full((1, 5, 4), 0.4, requires_grad=True)
    torch.manual_seed(0)
    torch.stack(
        list(mask_set_loss([QueryPrediction(classes, masks, boxes)], [targets], WEIGHTS, EVERY).values())
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
    nothing = mask_set_loss([prediction], [bare], WEIGHTS, EVERY)
    assert all(term.item() == 0 for term in nothing.values())
    only_background = mask_set_loss([prediction], [empty], WEIGHTS, EVERY)
    assert only_background['dice'].item() == 0
    assert only_background['classification'].item() > 0
    both = QueryPrediction(*(torch.cat([part, part]) for part in prediction))
    assert math.isfinite(sum(t.item() for t in mask_set_loss([both], [two_squares(), bare], WEIGHTS, EVERY).values()))


def test_where_stuff_is_not_labelled_an_unmatched_query_may_claim_it() -> None:
    targets = two_squares()
    things = (0, 2)
    prediction = perfect(targets, strength=3.0)
    # Query 0 is unmatched, and sure that it is of class 1, which is stuff.
    prediction.class_logits[0, 0] = torch.tensor([-3.0, 3.0, -3.0, -3.0])
    full = Targets(targets.masks, targets.labels, torch.zeros(32, 64, dtype=torch.int64), None)
    punished = mask_set_loss([prediction], [full], WEIGHTS, things)['classification'].item()
    tolerated = mask_set_loss([prediction], [targets], WEIGHTS, things)['classification'].item()
    classes = prediction.class_logits[0].softmax(-1).tolist()

    def slow(no_object: list[float]) -> float:
        """Queries 4 and 3 are matched to classes 0 and 2; 0.1 is the weight of the others."""
        matched = -math.log(classes[4][0]) - math.log(classes[3][2])
        return 2.0 * (matched + 0.1 * sum(-math.log(p) for p in no_object)) / (2 + 3 * 0.1)

    assert punished == pytest.approx(slow([classes[q][3] for q in (0, 1, 2)]), rel=1e-5)
    assert tolerated == pytest.approx(slow([classes[q][3] + classes[q][1] for q in (0, 1, 2)]), rel=1e-5)
    # The same picture beside one that is fully labelled: each keeps its own meaning of no object.
    both = QueryPrediction(*(torch.cat([part, part]) for part in prediction))
    mixed = mask_set_loss([both], [full, targets], WEIGHTS, things)['classification'].item()
    assert mixed == pytest.approx((punished + tolerated) / 2, rel=1e-5)


def test_an_unmatched_query_that_claims_a_thing_is_punished_with_and_without_stuff_labels() -> None:
    targets = two_squares()
    prediction = perfect(targets, strength=3.0)
    right = mask_set_loss([prediction], [targets], WEIGHTS, (0, 2))['classification'].item()
    prediction.class_logits[0, 0] = torch.tensor([3.0, -3.0, -3.0, -3.0])
    assert mask_set_loss([prediction], [targets], WEIGHTS, (0, 2))['classification'].item() > right + 0.3


@pytest.mark.parametrize('grid', [(8, 16), (32, 64), (5, 7), (16, 9)])
def test_coarse_masks_are_shares_of_cells(grid: tuple[int, int]) -> None:
    masks = torch.rand(3, 32, 64) > 0.5
    assert torch.allclose(coarse_masks(masks, *grid), adaptive_avg_pool2d(masks.float(), grid), atol=1e-6)
    assert coarse_masks(masks[:0], *grid).shape == (0, *grid)


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
    points = loss_points(torch.zeros(2, 32, 64), boxes, 400, random_points([3, None], [1, 1], 0, 400))
    assert points.shape == (2, 400, 2)
    assert points.min() >= 0
    assert points.max() <= 1
    for row, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        x, y = points[row].T
        share = ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).float().mean()
        area = (x1 - x0) * (y1 - y0)
        assert share > area + 0.1
