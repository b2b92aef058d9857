# SPDX-License-Identifier: Apache-2.0
"""What a student says about one picture."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one picture, all in one geometry: the picture's, or the network's on request.

    A head that is absent or was not asked for is None; `boxes`, `labels`, `scores` and `instance_ids` come together.

    Attributes:
        height: rows of the maps, pixels.
        width: columns of the maps, pixels.
        image_height: rows of the picture that was given.
        image_width: columns of the picture that was given.
        boxes: (K, 4) float32, x0 y0 x1 y1 in pixels of the maps, x1 and y1 exclusive, around the whole mask of the row.
        labels: (K,) int64, class ids.
        scores: (K,) float32, best first.
        instance_ids: (H, W) uint16, 0 none, k is row k-1; the higher score owns a contested pixel.
        semantic: (H, W) uint8, class id, 255 unlabelled.
        depth: (H, W) float32, metres along the optical axis; NaN invalid, +Inf sky or beyond the cap.
    """

    height: int
    width: int
    image_height: int
    image_width: int
    boxes: npt.NDArray[np.float32] | None = None
    labels: npt.NDArray[np.int64] | None = None
    scores: npt.NDArray[np.float32] | None = None
    instance_ids: npt.NDArray[np.uint16] | None = None
    semantic: npt.NDArray[np.uint8] | None = None
    depth: npt.NDArray[np.float32] | None = None

    def image_boxes(self) -> npt.NDArray[np.float32] | None:
        """(K, 4) float32 boxes in pixels of the given picture, whatever the size of the maps."""
        if self.boxes is None or (self.height, self.width) == (self.image_height, self.image_width):
            return self.boxes
        x_scale, y_scale = self.image_width / self.width, self.image_height / self.height
        return self.boxes * np.array([x_scale, y_scale, x_scale, y_scale], dtype=np.float32)

    def with_scores_from(self, score_threshold: float) -> Prediction:
        """The same answer as if asked for with this threshold, which is not below the one that it was made with."""
        if self.scores is None or self.boxes is None or self.labels is None or self.instance_ids is None:
            return self
        # Rows stand best first, and the better row owns a contested pixel: cutting the end changes no other row.
        rows = int((self.scores >= score_threshold).sum())
        if rows == len(self.scores):
            return self
        ids = np.where(self.instance_ids > rows, np.uint16(0), self.instance_ids)
        return replace(
            self,
            boxes=self.boxes[:rows],
            labels=self.labels[:rows],
            scores=self.scores[:rows],
            instance_ids=ids,
        )

    def of_classes(self, class_ids: Collection[int]) -> Prediction:
        """The same answer with the instances of these classes alone; the semantic map keeps all."""
        if self.scores is None or self.boxes is None or self.labels is None or self.instance_ids is None:
            return self
        kept = np.isin(self.labels, list(class_ids))
        # Row k of before is number k + 1 in the map; those that go become 0.
        numbers = np.concatenate([np.zeros(1, np.uint16), np.where(kept, np.cumsum(kept), 0).astype(np.uint16)])
        return replace(
            self,
            boxes=self.boxes[kept],
            labels=self.labels[kept],
            scores=self.scores[kept],
            instance_ids=numbers[self.instance_ids],
        )


@dataclass(frozen=True)
class Timing:
    """How long one picture took, milliseconds of wall clock."""

    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float

    @property
    def total_ms(self) -> float:
        """All three together."""
        return self.preprocess_ms + self.inference_ms + self.postprocess_ms
