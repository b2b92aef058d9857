# SPDX-License-Identifier: Apache-2.0
"""Which of the masks that boxes gave are the same thing twice, and who owns a pixel that several claim.

Box suppression cannot tell a part from a whole: a promptable segmenter answers a box around a wheel, a door and a car
with masks that lie in each other. Here a mask that lies mostly in better ones *of its own class* goes; a part of
another class (a person in a bus) stays, and takes its pixels from the whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cast_train.settings import Settings, Share

Masks = npt.NDArray[np.bool_]


class MaskNms(Settings):
    """When a mask is the same thing as a better one.

    Attributes:
        iou: overlap with a better mask of the same class from which on it is the same thing.
        containment: share of a mask inside better ones from which on it is part of them.
        duplicate: overlap with a better mask of another class from which on it is the same thing under another name.
    """

    iou: Share = 0.6
    containment: Share = 0.8
    duplicate: Share = 0.8


def kept_rows(masks: Masks, labels: npt.NDArray[np.int64], rules: MaskNms) -> list[int]:
    """Return the rows of N×h×w masks, best first, that are things of their own; empty masks are none."""
    flat = _flat(masks)
    areas = flat.sum(1)
    inter = _intersections(masks)
    kept: list[int] = []
    for row in range(len(masks)):
        if not areas[row]:
            continue
        same = [better for better in kept if labels[better] == labels[row]]
        others = [better for better in kept if labels[better] != labels[row]]
        # Together, so that a box around a group goes when its members are there.
        inside = (flat[row] & flat[same].any(0)).sum() / areas[row] if same else 0.0
        if inside >= rules.containment or _iou(inter, areas, row, same) >= rules.iou:
            continue
        if _iou(inter, areas, row, others) >= rules.duplicate:
            continue
        kept.append(row)
    return kept


def exclusive(masks: Masks, labels: npt.NDArray[np.int64], containment: float) -> Masks:
    """Give each pixel of N×h×w masks, best first, to one of them: the better one, but a part before its whole.

    Args:
        masks: after ``kept_rows``.
        labels: (N,) class ids.
        containment: share of a mask inside a mask of another class from which on it is a part of it.
    """
    owned = np.zeros_like(masks)
    taken = np.zeros(masks.shape[1:], bool)
    for row in _paint_order(masks, labels, containment):
        owned[row] = masks[row] & ~taken
        taken |= masks[row]
    return owned


def _paint_order(masks: Masks, labels: npt.NDArray[np.int64], containment: float) -> list[int]:
    """Rows in an order in which the first to claim a pixel keeps it; one order for all, so that no pixel is lost."""
    areas = _flat(masks).sum(1)
    inter = _intersections(masks)
    order: list[int] = []
    for row in range(len(masks)):
        wholes = [
            place
            for place, other in enumerate(order)
            if labels[other] != labels[row]
            and areas[other] > areas[row]
            and inter[row, other] >= containment * areas[row]
        ]
        order.insert(wholes[0] if wholes else len(order), row)
    return order


def _flat(masks: Masks) -> Masks:
    return masks.reshape(len(masks), masks.shape[1] * masks.shape[2])


def _intersections(masks: Masks) -> npt.NDArray[np.float32]:
    flat = _flat(masks).astype(np.float32)
    shared: npt.NDArray[np.float32] = flat @ flat.T
    return shared


def _iou(inter: npt.NDArray[np.float32], areas: npt.NDArray[np.int64], row: int, others: list[int]) -> float:
    """Largest IoU of a mask with any of the others."""
    if not others:
        return 0.0
    shared = inter[row, others]
    return float((shared / (areas[row] + areas[others] - shared)).max())
