# SPDX-License-Identifier: Apache-2.0
"""The set loss of the grounded detector against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from cast_train.methods.cast.grounding import GroundedBoxes, GroundingWeights, grounding_loss, match_boxes

WEIGHTS = GroundingWeights()
LEFT, RIGHT = [0.25, 0.5, 0.2, 0.4], [0.75, 0.5, 0.2, 0.4]
# Tokens: [CLS] a . b [SEP]
A, B = [0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]
TARGET = GroundedBoxes(torch.tensor([LEFT, RIGHT]), torch.tensor([A, B]))
NOTHING = GroundedBoxes(torch.zeros(0, 4), torch.zeros(0, 5))


def certain(*rows: list[float]) -> torch.Tensor:
    """1×Q×T logits that say these tokens and nothing else."""
    return (torch.tensor(rows)[None] * 2 - 1) * 20


def test_true_answers_cost_nothing_in_any_order() -> None:
    boxes = torch.tensor([[RIGHT, [0.5, 0.5, 0.9, 0.9], LEFT]])
    terms = grounding_loss([(certain(B, [0.0] * 5, A), boxes)], [TARGET], WEIGHTS)
    assert [terms[name].item() for name in ('tokens', 'distance', 'overlap')] == pytest.approx([0, 0, 0], abs=1e-5)


def test_words_decide_between_equal_boxes() -> None:
    boxes = torch.tensor([LEFT, LEFT, RIGHT])
    rows, columns = match_boxes(certain([0.0] * 5, A, B)[0], boxes, TARGET, WEIGHTS)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(1, 0), (2, 1)]


def test_terms_have_the_values_of_their_formulas() -> None:
    logits, boxes = torch.zeros(1, 1, 5), torch.tensor([[[0.35, 0.5, 0.2, 0.4]]])
    target = GroundedBoxes(torch.tensor([LEFT]), torch.tensor([A]))
    terms = grounding_loss([(logits, boxes)], [target], WEIGHTS)
    # At p = 1/2 every token costs ln 2 / 4, weighted 0.25 where it is said and 0.75 where it is not.
    assert terms['tokens'].item() == pytest.approx(math.log(2) / 4 * (0.25 + 4 * 0.75))
    assert terms['distance'].item() == pytest.approx(5 * 0.1)
    # Boxes 0.2 wide and 0.1 apart share a third of their union, and their hull is the union.
    assert terms['overlap'].item() == pytest.approx(2 * (1 - 1 / 3), abs=1e-4)


def test_all_phrases_of_a_class_are_wanted() -> None:
    both = GroundedBoxes(torch.tensor([LEFT]), torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0]]))
    boxes = torch.tensor([[LEFT]])
    one = grounding_loss([(certain(A), boxes)], [both], WEIGHTS)['tokens']
    two = grounding_loss([(certain([0.0, 1.0, 0.0, 1.0, 0.0]), boxes)], [both], WEIGHTS)['tokens']
    assert two.item() == pytest.approx(0, abs=1e-5)
    assert one > 1


def test_pictures_without_boxes_teach_silence() -> None:
    logits = torch.zeros(2, 3, 5, requires_grad=True)
    boxes = torch.full((2, 3, 4), 0.5, requires_grad=True)
    terms = grounding_loss([(logits, boxes)], [NOTHING, NOTHING], WEIGHTS)
    assert terms['distance'].item() == terms['overlap'].item() == 0
    assert terms['tokens'].item() == pytest.approx(30 * 0.75 * math.log(2) / 4)
    torch.stack(list(terms.values())).sum().backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_more_boxes_than_queries_are_matched_as_far_as_they_go() -> None:
    terms = grounding_loss([(certain(A), torch.tensor([[LEFT]]))], [TARGET], WEIGHTS)
    assert terms['distance'].item() == 0
    assert all(value.isfinite() for value in terms.values())


def test_levels_add_up() -> None:
    level = torch.zeros(1, 2, 5), torch.tensor([[LEFT, RIGHT]])
    one = grounding_loss([level], [TARGET], WEIGHTS)
    three = grounding_loss([level] * 3, [TARGET], WEIGHTS)
    assert all(three[name].item() == pytest.approx(3 * one[name].item()) for name in one)
