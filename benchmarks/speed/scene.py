# SPDX-License-Identifier: Apache-2.0
"""One drawn scene in the words of every network, so that post-processing has the same objects to paint for all.

Random weights answer noise: a YOLO finds nothing, a student fifty masks that each cover half of the picture. Both would
make post-processing a matter of luck. So the network runs on a picture and its answer is put aside for this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

OBJECTS = 20
# Logit in the middle of an object, and far away from it.
SURE = 8.0
# Detections of YOLO for one object, before it suppresses all but one.
DETECTIONS_PER_OBJECT = 8


@dataclass(frozen=True)
class Scene:
    """Twenty ellipses in a picture of ``height`` × ``width``, the first in front of the second and so on.

    Attributes:
        seed: of the places and sizes; a side is a thirtieth to a half of the picture's, small ones being more frequent.
    """

    height: int
    width: int
    seed: int = 0

    @cached_property
    def boxes(self) -> FloatArray:
        """(20, 4) centre x, y, width, height as fractions of the picture."""
        rng = np.random.default_rng(self.seed)
        sides = np.exp(rng.uniform(np.log(1 / 30), np.log(1 / 2), (OBJECTS, 2)))
        centres = rng.uniform(0.1, 0.9, (OBJECTS, 2))
        return np.concatenate([centres, sides], 1).astype(np.float32)

    @cached_property
    def scores(self) -> FloatArray:
        """(20,) from the first to the last."""
        return np.linspace(0.95, 0.6, OBJECTS).astype(np.float32)

    def labels(self, classes: Sequence[int]) -> npt.NDArray[np.int64]:
        """(20,) ids out of ``classes``, in turn."""
        return np.resize(np.array(classes, dtype=np.int64), OBJECTS)

    def masks(self, height: int, width: int) -> FloatArray:
        """(20, height, width) logits at the size of a map, positive inside of the objects."""
        rows = ((np.arange(height) + 0.5) / height)[:, None]
        columns = ((np.arange(width) + 0.5) / width)[None]
        maps = [
            1 - ((columns - x) / (w / 2)) ** 2 - ((rows - y) / (h / 2)) ** 2 for x, y, w, h in self.boxes.astype(float)
        ]
        return np.clip(SURE * np.stack(maps), -SURE, SURE).astype(np.float32)

    def student(self, shapes: dict[str, tuple[int, ...]], things: Sequence[int]) -> dict[str, npt.NDArray[np.generic]]:
        """The answer of a student; ``shapes`` are those of its outputs, batch axis included."""
        rng = np.random.default_rng(self.seed)
        answer: dict[str, npt.NDArray[np.generic]] = {
            'semantic': np.zeros(shapes['semantic'], np.uint8),
            'depth': rng.uniform(2, 60, shapes['depth']).astype(np.float32),
        }
        if 'scores' in shapes:
            count = shapes['scores'][1]
            masks = np.full(shapes['masks'], -SURE, np.float32)
            masks[0, :OBJECTS] = self.masks(*shapes['masks'][2:])
            answer['scores'] = np.pad(self.scores, (0, count - OBJECTS), constant_values=0.01)[None]
            answer['labels'] = np.pad(self.labels(things), (0, count - OBJECTS), mode='edge')[None]
            answer['masks'] = masks
        return answer

    def yolo(
        self, detections: tuple[int, ...], prototypes: tuple[int, ...], classes: int
    ) -> tuple[FloatArray, FloatArray]:
        """The answer of a YOLO; shapes with their batch axis of one."""
        rng = np.random.default_rng(self.seed)
        _, rows, anchors = detections
        answer = np.zeros((rows, anchors), np.float32)
        answer[4 : 4 + classes] = 0.001
        maps = np.zeros(prototypes[1:], np.float32)
        maps[:OBJECTS] = self.masks(*prototypes[2:])
        pixels = np.array([self.width, self.height, self.width, self.height], np.float32)
        places = rng.permutation(anchors)[: OBJECTS * DETECTIONS_PER_OBJECT].reshape(OBJECTS, -1)
        for index, (box, label) in enumerate(zip(self.boxes * pixels, self.labels(range(classes)), strict=True)):
            for turn, place in enumerate(places[index]):
                # The first is right, the others are off by up to two hundredths of a side, and less sure.
                answer[:4, place] = box + (turn > 0) * np.tile(box[2:], 2) * rng.uniform(-0.02, 0.02, 4)
                answer[4 + label, place] = self.scores[index] - 0.005 * turn
                answer[4 + classes + index, place] = 1.0
        return answer[None], maps[None]

    def queries(self, class_shape: tuple[int, ...], mask_shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """The answer of a network with a softmax over classes and no object; shapes with their batch axis of one."""
        _, count, classes = class_shape
        logits = np.zeros((1, count, classes), np.float32)
        logits[..., -1] = SURE
        order = self._scattered(count)
        logits[0, order, -1] = 0.0
        # So that the softmax over all classes gives exactly the object's score.
        odds = self.scores / (1 - self.scores)
        logits[0, order, self.labels(range(classes - 1))] = np.log(odds * (classes - 1))
        return logits, self._scattered_masks(mask_shape, order)

    def detr(self, class_shape: tuple[int, ...], mask_shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """The answer of a network with a sigmoid for each class; shapes with their batch axis of one."""
        _, count, classes = class_shape
        logits = np.full((1, count, classes), -SURE, np.float32)
        order = self._scattered(count)
        logits[0, order, self.labels(range(classes))] = np.log(self.scores / (1 - self.scores))
        return logits, self._scattered_masks(mask_shape, order)

    def _scattered(self, count: int) -> npt.NDArray[np.intp]:
        """Which of ``count`` queries have the objects."""
        return np.random.default_rng(self.seed).permutation(count)[:OBJECTS].astype(np.intp)

    def _scattered_masks(self, shape: tuple[int, ...], order: npt.NDArray[np.intp]) -> FloatArray:
        masks = np.full(shape, -SURE, np.float32)
        masks[0, order] = self.masks(*shape[2:])
        return masks
