# SPDX-License-Identifier: Apache-2.0
"""Class-agnostic masks of a picture, as Segment Anything finds them: run-length codes with boxes, any overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from faster_coco_eval.core import mask as coco_mask


@dataclass(frozen=True, eq=False)
class Segments:
    """N masks of one picture of H×W pixels, large before small: who paints them in order keeps the small ones.

    Attributes:
        height: H.
        width: W.
        boxes: N×4 int32 x0 y0 x1 y1 in pixels, ends exclusive, around each mask.
        runs: COCO's compressed run lengths of each.
    """

    height: int
    width: int
    boxes: npt.NDArray[np.int32]
    runs: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.runs)

    @classmethod
    def of_masks(cls, masks: npt.NDArray[np.bool_]) -> Segments:
        """Code N×H×W masks; empty ones are left out."""
        height, width = masks.shape[1:]
        areas = masks.sum((1, 2))
        order = [int(row) for row in np.argsort(-areas, kind='stable') if areas[row]]
        codes = [coco_mask.encode(np.asfortranarray(masks[row], np.uint8)) for row in order]
        boxes = np.zeros((len(order), 4), np.int32)
        for place, row in enumerate(order):
            lines, columns = np.flatnonzero(masks[row].any(1)), np.flatnonzero(masks[row].any(0))
            boxes[place] = columns[0], lines[0], columns[-1] + 1, lines[-1] + 1
        return cls(height, width, boxes, tuple(bytes(code['counts']) for code in codes))

    def crop(self, top: int, left: int, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Return M×height×width of the masks that have a pixel in that part, in order; only those are decoded."""
        x0, y0, x1, y1 = self.boxes.T
        near = np.flatnonzero((x0 < left + width) & (x1 > left) & (y0 < top + height) & (y1 > top))
        found = [self._decode(int(row))[top : top + height, left : left + width] for row in near]
        return _stack([mask for mask in found if mask.any()], height, width)

    def _decode(self, row: int) -> npt.NDArray[np.bool_]:
        code = {'size': [self.height, self.width], 'counts': self.runs[row]}
        return np.asarray(coco_mask.decode(code)).astype(np.bool_)


def _stack(masks: Sequence[npt.NDArray[np.bool_]], height: int, width: int) -> npt.NDArray[np.bool_]:
    return np.stack(masks) if masks else np.zeros((0, height, width), np.bool_)
