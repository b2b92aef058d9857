# SPDX-License-Identifier: Apache-2.0
"""Instances by a detector of others that comes as an ONNX file, and our network from boxes to masks.

The detector answers as YOLOX does (Z. Ge et al., "YOLOX: Exceeding YOLO Series in 2021"): for each cell of three
grids a box, how sure it is that something is there, and of which class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from cast_ros.student import UNLABELLED, ClassInfo, InputSpec
from cast_train.engine.trained import millions
from cast_train.errors import TeacherError
from cast_train.models.promptable import PromptableMasks
from cast_train.settings import Settings, Share
from cast_train.teachers.composite import confidence, segment
from cast_train.teachers.network import Device, digest, torch_device, weights_digest
from cast_train.teachers.onnx_network import OnnxNetwork
from cast_train.teachers.onnx_semantic import ids_into
from cast_train.teachers.promptable import open_promptable
from cast_train.teachers.teacher import CERTAIN, PseudoLabels

# Raise it whenever the same files would give other labels: labels in a cache are then computed anew.
ANSWER_VERSION = 1
STRIDES = (8, 16, 32)
_PADDING = 114
# A night through an eye that opens wider.
_GAMMA = 0.45

COCO = (
    *('person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light'),
    *('fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow'),
    *('elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee'),
    *('skis', 'snowboard', 'sports ball', 'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard'),
    *('tennis racket', 'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple'),
    *('sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch'),
    *('potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard'),
    *('cell phone', 'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase'),
    *('scissors', 'teddy bear', 'hair drier', 'toothbrush'),
)


class OnnxBoxesSettings(Settings):
    """The detector, the masks, and what is left out of their answers.

    Attributes:
        network: ONNX file; its classes are COCO's.
        masks: run folder (or checkpoint) of a recipe of method ``masks``.
        boxes: whether the file answers per cell (``raw``), or boxes in pixels of its input (``decoded``).
        score_floor: detections below are not even kept.
        nms_iou: of two boxes of one class that overlap more than this, only the better one is kept.
        brightened: look a second time at a brightened picture, for nights; what both see is kept once.
        device: where the masks are made.
    """

    network: Path
    masks: Path
    boxes: Literal['raw', 'decoded'] = 'raw'
    score_floor: Share = 0.2
    nms_iou: Share = 0.65
    brightened: bool = False
    device: Device = 'cpu'


class OnnxBoxes:
    """Answers with instances alone; a detection scores box × mean probability inside its mask.

    Args:
        settings: see there.
        classes: of the pictures to label.
        masks: in memory; frozen, and in evaluation mode.
        masks_input: size of the pictures that ``masks`` sees.

    Raises:
        TeacherError: the file is missing, is no such network, or knows none of the things.
    """

    def __init__(
        self,
        settings: OnnxBoxesSettings,
        classes: Sequence[ClassInfo],
        masks: PromptableMasks,
        masks_input: InputSpec,
    ) -> None:
        self.settings = settings
        self.masks = masks.eval().requires_grad_(False)
        self._network, self._masks_input = OnnxNetwork(settings.network), masks_input
        things = [entry.id for entry in classes if entry.is_thing]
        ids = ids_into(COCO, classes)[:-1]
        self._ids = np.where(np.isin(ids, things), ids, np.uint8(UNLABELLED))
        if (self._ids == UNLABELLED).all():
            raise TeacherError(
                f'{settings.network}: knows the classes of COCO, none of which is among the things '
                f'{", ".join(entry.name for entry in classes if entry.is_thing) or "(there are none)"}'
            )
        self.parameters_m = self._network.parameters_m + millions(masks)
        self.fingerprint = digest(
            'onnx_boxes',
            ANSWER_VERSION,
            settings.model_dump_json(exclude={'network', 'masks', 'device'}),
            self._ids.tolist(),
            masks_input.model_dump_json(),
            masks.size.model_dump_json(),
            weights_digest(masks),
            hashlib.sha256(settings.network.read_bytes()).hexdigest(),
        )

    @classmethod
    def open(cls, settings: OnnxBoxesSettings, classes: Sequence[ClassInfo]) -> OnnxBoxes:
        """Load both networks; raises TeacherError and TrainingError if one cannot be read."""
        masks, masks_input = open_promptable(settings.masks)
        return cls(settings, classes, masks.to(torch_device(settings.device)), masks_input)

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``."""
        del fx_px  # nothing here is in metres
        found = [self.detect(image) for image in images]
        masks = segment(self.masks, self._masks_input, images, [boxes for _, _, boxes in found])
        answers = []
        for image, (scores, labels, _), soft in zip(images, found, masks, strict=True):
            scores = scores * confidence(soft)
            order = scores.argsort(descending=True, stable=True)
            order = order[scores[order] >= self.settings.score_floor]
            answers.append(
                PseudoLabels(
                    height=image.shape[0],
                    width=image.shape[1],
                    labels=labels[order].numpy().astype(np.int64),
                    scores=scores[order].numpy().astype(np.float32),
                    soft_masks=np.ascontiguousarray((soft[order] * CERTAIN).round().to(torch.uint8).numpy()),
                )
            )
        return answers

    def detect(self, image: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor, npt.NDArray[np.float32]]:
        """Scores (K), class ids (K) and boxes K×4 x0 y0 x1 y1 in pixels of an H×W×3 RGB picture, best first."""
        looks = [image]
        if self.settings.brightened:
            looks.append(np.asarray(255 * (image / 255.0) ** _GAMMA, np.uint8))
        parts = [self._look(one) for one in looks]
        scores, labels, boxes = (np.concatenate(column) for column in zip(*parts, strict=True))
        height, width = image.shape[:2]
        boxes = boxes.clip(0, [width, height, width, height]).astype(np.float32)
        sized = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf) >= 1
        chosen = torch.from_numpy(scores[sized]), torch.from_numpy(labels[sized]), torch.from_numpy(boxes[sized])
        kept = batched_nms(chosen[2], chosen[0], chosen[1], self.settings.nms_iou)
        return chosen[0][kept], chosen[1][kept], chosen[2][kept].numpy()

    def _look(
        self, image: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        network, (height, width) = self._network, image.shape[:2]
        scale = min(network.height / height, network.width / width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        placed = np.full((network.height, network.width, 3), _PADDING, np.float32)
        placed[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)[..., ::-1]
        answer = np.asarray(network.raw(placed), np.float32)
        if answer.ndim != 3 or answer.shape[2] != 5 + len(COCO) or not np.isfinite(answer).all():
            raise TeacherError(
                f'{network.path}: answers {answer.shape}; wanted are 1×N×{5 + len(COCO)} finite numbers, as of YOLOX'
            )
        rows = answer[0]
        boxes = self._decoded(rows[:, :4]) if self.settings.boxes == 'raw' else rows[:, :4]
        scores = rows[:, 4:5] * rows[:, 5:]
        best = scores[:, self._ids != UNLABELLED]
        classes = self._ids[self._ids != UNLABELLED][best.argmax(1)]
        kept = best.max(1) >= self.settings.score_floor
        middles, half = boxes[kept, :2], boxes[kept, 2:] / 2
        corners = np.concatenate([middles - half, middles + half], 1) / scale
        return best.max(1)[kept], classes[kept].astype(np.int64), corners.astype(np.float32)

    def _decoded(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Middle and size in pixels of the input of N×4 answers per cell: row by row, the finest grid first."""
        cells, steps = [], []
        for stride in STRIDES:
            rows, columns = np.mgrid[: self._network.height // stride, : self._network.width // stride]
            cells.append(np.stack([columns.ravel(), rows.ravel()], 1))
            steps.append(np.full((rows.size, 1), stride))
        places, stride_px = np.concatenate(cells), np.concatenate(steps).astype(np.float32)
        if len(places) != len(boxes):
            raise TeacherError(
                f'{self._network.path}: answers {len(boxes)} boxes, and its grids have {len(places)} cells; set boxes '
                'to decoded if they are pixels already'
            )
        return np.concatenate([(boxes[:, :2] + places) * stride_px, np.exp(boxes[:, 2:]) * stride_px], 1)
