# SPDX-License-Identifier: Apache-2.0
"""The set loss of a grounded detector: matching one to one, focal loss on tokens, L1 and generalised IoU on boxes.

Hugging Face ships a loss with these networks. It is not used, for three reasons that its code shows (in transformers
5.23): it scores the learned queries instead of the encoder's proposals and cuts the proposals' boxes off the graph, so
that the heads of the first stage get no gradient at all; it knows one phrase for a class; and it weighs classes 1 in
matching and 2 in the loss, where DINO has 2 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou, generalized_box_iou_loss, sigmoid_focal_loss

from cast_train.settings import Settings, Weight

ALPHA, GAMMA = 0.25, 2.0


class GroundingWeights(Settings):
    """Weights of the terms, and of the token term in matching, as DINO and its grounded descendants have them."""

    tokens: Weight = 1.0
    distance: Weight = 5.0
    overlap: Weight = 2.0
    matched_tokens: Weight = 2.0


@dataclass(frozen=True, eq=False)
class GroundedBoxes:
    """What one picture holds: M×4 boxes (centre x, y, width, height in 0…1), and M×T, 1 at the tokens that say it."""

    boxes: Tensor
    tokens: Tensor


def match_boxes(
    logits: Tensor, boxes: Tensor, target: GroundedBoxes, weights: GroundingWeights
) -> tuple[Tensor, Tensor]:
    """Hungarian matching for one picture: rows of Q×T logits and Q×4 boxes, and rows of the target, in pairs."""
    with torch.no_grad():
        p = logits.float().sigmoid()
        if_said = ALPHA * (1 - p) ** GAMMA * -(p + 1e-8).log()
        if_not = (1 - ALPHA) * p**GAMMA * -(1 - p + 1e-8).log()
        said = target.tokens / target.tokens.sum(1, keepdim=True).clamp(min=1)
        cost = weights.matched_tokens * (if_said - if_not) @ said.T
        cost = cost + weights.distance * torch.cdist(boxes.float(), target.boxes, p=1)
        corners = box_convert(boxes.float(), 'cxcywh', 'xyxy'), box_convert(target.boxes, 'cxcywh', 'xyxy')
        cost = cost - weights.overlap * generalized_box_iou(*corners)
        rows, columns = linear_sum_assignment(cost.nan_to_num(1e6, 1e6, -1e6).cpu().numpy())
    return torch.as_tensor(rows), torch.as_tensor(columns)


def grounding_loss(
    levels: Sequence[tuple[Tensor, Tensor]], targets: Sequence[GroundedBoxes], weights: GroundingWeights
) -> dict[str, Tensor]:
    """Sum over levels of the set loss over B pictures.

    Args:
        levels: B×Q×T token logits and B×Q×4 boxes (centre and size in 0…1) of the proposals and each decoder layer.
        targets: one for each picture; a picture without boxes teaches that nothing is there.
        weights: of the terms.

    Returns:
        Weighted terms ``tokens``, ``distance`` and ``overlap``, each divided by the number of boxes in the batch.
    """
    count = max(1, sum(len(target.boxes) for target in targets))
    total = {name: levels[0][0].new_zeros(()) for name in ('tokens', 'distance', 'overlap')}
    for logits, boxes in levels:
        wanted = torch.zeros_like(logits)
        for index, target in enumerate(targets):
            rows, columns = match_boxes(logits[index], boxes[index], target, weights)
            wanted[index, rows] = target.tokens[columns]
            found, true = boxes[index, rows], target.boxes[columns]
            corners = box_convert(found, 'cxcywh', 'xyxy'), box_convert(true, 'cxcywh', 'xyxy')
            total['distance'] = total['distance'] + weights.distance * F.l1_loss(found, true, reduction='sum') / count
            total['overlap'] = total['overlap'] + weights.overlap * generalized_box_iou_loss(*corners).sum() / count
        focal = sigmoid_focal_loss(logits, wanted, ALPHA, GAMMA, reduction='sum')
        total['tokens'] = total['tokens'] + weights.tokens * focal / count
    return total
