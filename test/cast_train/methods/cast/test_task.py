# SPDX-License-Identifier: Apache-2.0
"""What a teacher's queries become as targets."""

from __future__ import annotations

import torch

from cast_train.methods.cast.task import confident_queries
from cast_train.models.queries import QueryPrediction

CLASSES, HEIGHT, WIDTH = 2, 4, 8


def answer(class_logits: torch.Tensor, mask_logits: torch.Tensor) -> QueryPrediction:
    """Queries with nothing but classes and masks."""
    return QueryPrediction(class_logits, mask_logits, torch.zeros(*class_logits.shape[:2], 4))


def test_sure_queries_with_a_mask_become_targets_and_a_picture_without_any_has_none() -> None:
    class_logits = torch.zeros(2, 3, CLASSES + 1)
    class_logits[..., CLASSES] = 5.0  # no object
    class_logits[0, 0] = torch.tensor([0.0, 9.0, 0.0])
    class_logits[0, 1] = torch.tensor([9.0, 0.0, 0.0])  # as sure, but without a mask
    mask_logits = torch.full((2, 3, HEIGHT, WIDTH), -9.0)
    mask_logits[0, 0, :, : WIDTH // 2] = 9.0
    some, none = confident_queries(answer(class_logits, mask_logits), (4 * HEIGHT, 4 * WIDTH), score=0.7, area=1.0)
    assert some.labels is not None
    assert some.masks is not None
    assert none.labels is not None
    assert none.masks is not None
    assert some.labels.tolist() == [1]
    assert some.masks.shape == (1, 4 * HEIGHT, 4 * WIDTH)
    assert some.masks[0, :, : 2 * WIDTH - 1].all()
    assert not some.masks[0, :, 2 * WIDTH + 1 :].any()
    assert none.labels.shape == (0,)
    assert none.masks.shape == (0, 4 * HEIGHT, 4 * WIDTH)
