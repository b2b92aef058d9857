# SPDX-License-Identifier: Apache-2.0
"""A detector that is adapted and a promptable mask network that stays frozen: the build of CAST's own teacher.

The paper joins Grounding DINO and SAM 2; here the detector is a student's network and the masks are
``PromptableMasks``, each cut at the box that prompted it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from cast_ros.student import InputSpec, StudentContract
from cast_ros.student.geometry import InputGeometry
from cast_train.engine.trained import millions
from cast_train.models import StudentNetwork
from cast_train.models.graph import MAX_DETECTIONS
from cast_train.models.promptable import PromptableMasks, paste
from cast_train.settings import Settings, Share
from cast_train.teachers.network import (
    Device,
    Seen,
    assemble,
    digest,
    open_network,
    see,
    to_batch,
    torch_device,
    weights_digest,
)
from cast_train.teachers.promptable import open_promptable
from cast_train.teachers.teacher import CERTAIN, FOREGROUND, PseudoLabels

# Raise it whenever the same weights would give other labels: labels in a cache are then computed anew.
ANSWER_VERSION = 2
# Pixels of the mask network's input per cell of the soft masks.
MASK_STRIDE = 2


class CompositeSettings(Settings):
    """The two networks and what is left out of their answers.

    Attributes:
        detector: run folder (or checkpoint) of a student's network.
        masks: run folder (or checkpoint) of ``cast-train fit-masks``.
        score_floor: detections below are not even kept.
        nms_iou: of two boxes of one class that overlap more than this, only the better one is kept.
        device: where both run.
    """

    detector: Path
    masks: Path
    score_floor: Share = 0.0
    nms_iou: Share = 0.7
    device: Device = 'cpu'


class CompositeTeacher:
    """Classes, boxes, semantic map and depth from the detector, masks from the promptable network.

    A detection scores class probability × mean probability inside its mask, as a student's does. Takes both networks
    over: frozen, and in evaluation mode.

    Args:
        detector: in memory.
        contract: of the detector.
        masks: in memory.
        masks_input: size of the pictures that ``masks`` sees.
        score_floor, nms_iou: see ``CompositeSettings``.
    """

    def __init__(
        self,
        detector: StudentNetwork,
        contract: StudentContract,
        masks: PromptableMasks,
        masks_input: InputSpec,
        score_floor: float = 0.0,
        nms_iou: float = 0.7,
    ) -> None:
        self.detector = detector.eval().requires_grad_(False)
        self.masks = masks.eval().requires_grad_(False)
        self.contract = contract
        self._masks_input = masks_input
        self._score_floor, self._nms_iou = score_floor, nms_iou
        self.parameters_m = millions(detector, masks)
        self.fingerprint = digest(
            'composite',
            ANSWER_VERSION,
            contract.input.model_dump_json(),
            contract.depth,
            masks_input.model_dump_json(),
            masks.size.model_dump_json(),
            score_floor,
            nms_iou,
            weights_digest(detector),
            weights_digest(masks),
        )

    @classmethod
    def open(cls, settings: CompositeSettings) -> CompositeTeacher:
        """Load both networks.

        Raises:
            TeacherError: one of the files is missing.
            TrainingError: one cannot be read, or does not fit its recipe.
        """
        detector, contract = open_network(settings.detector, settings.device)
        masks, masks_input = open_promptable(settings.masks)
        masks = masks.to(torch_device(settings.device))
        return cls(detector, contract, masks, masks_input, settings.score_floor, settings.nms_iou)

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``; all pictures go through both networks as one batch."""
        seen = see(self.detector, self.contract.input, images)
        found = [detect(one, self.contract.thing_ids, self._score_floor, self._nms_iou) for one in seen]
        masks = segment(self.masks, self._masks_input, images, [boxes for _, _, boxes in found])
        answers = []
        for one, (scores, labels, _), soft, fx in zip(seen, found, masks, fx_px, strict=True):
            scores = scores * confidence(soft)
            order = scores.argsort(descending=True, stable=True)
            order = order[scores[order] >= self._score_floor]
            stored = np.ascontiguousarray((soft[order] * CERTAIN).round().to(torch.uint8).numpy())
            answers.append(assemble(one, self.contract, fx, scores[order], labels[order], stored))
        return answers


@torch.no_grad()
def segment(
    masks: PromptableMasks,
    spec: InputSpec,
    images: Sequence[npt.NDArray[np.uint8]],
    boxes: Sequence[npt.NDArray[np.float32]],
) -> list[Tensor]:
    """For each picture K×h×w probabilities on a grid that spans it, one for each of its boxes in its pixels."""
    geometries = [InputGeometry.for_image(image.shape[0], image.shape[1], spec) for image in images]
    batch = to_batch(images, geometries, masks)
    prompts = [
        torch.from_numpy(geometry.boxes_to_network(own)).to(batch.device)
        for geometry, own in zip(geometries, boxes, strict=True)
    ]
    counts, side = [len(own) for own in prompts], masks.mask_side
    probabilities = masks(batch, prompts).sigmoid().cpu() if sum(counts) else torch.zeros(0, side, side)
    pasted = []
    for geometry, own, part in zip(geometries, prompts, probabilities.split(counts), strict=True):
        extent = geometry.content_height, geometry.content_width
        size = max(1, extent[0] // MASK_STRIDE), max(1, extent[1] // MASK_STRIDE)
        soft = paste(part, masks.regions(own).cpu(), size, extent)
        pasted.append(soft * within(own.cpu(), size, extent))
    return pasted


def within(boxes: Tensor, size: tuple[int, int], extent: tuple[int, int]) -> Tensor:
    """Which of h×w cells have their middle in each box, as M×h×w bool.

    A mask that spills over its prompt teaches larger boxes, and a detector that learned those prompts for still larger
    masks: self-training then gets worse from round to round.

    Args:
        boxes: M×4 x0 y0 x1 y1 in pixels of the input.
        size: h, w.
        extent: height and width that the cells span, in pixels of the input from its top left corner.
    """
    (height, width), (tall, wide) = size, extent
    rows = (torch.arange(height) + 0.5) * (tall / height)
    columns = (torch.arange(width) + 0.5) * (wide / width)
    across = (columns >= boxes[:, :1]) & (columns < boxes[:, 2:3])
    down = (rows >= boxes[:, 1:2]) & (rows < boxes[:, 3:])
    return down[:, :, None] & across[:, None]


def detect(
    seen: Seen, thing_ids: tuple[int, ...], score_floor: float, nms_iou: float
) -> tuple[Tensor, Tensor, npt.NDArray[np.float32]]:
    """Class probabilities (K), class ids (K) and boxes K×4 x0 y0 x1 y1 in pixels of the picture, best first."""
    things = torch.tensor(thing_ids, dtype=torch.int64)
    probabilities = seen.final.class_logits.softmax(-1)[:, things]
    scores, order = probabilities.flatten().topk(min(MAX_DETECTIONS, probabilities.numel()))
    queries = torch.div(order, len(things), rounding_mode='floor')
    labels = things[order - queries * len(things)]
    boxes = _corners(seen.final.boxes[queries], seen.geometry)
    kept = batched_nms(boxes, scores, labels, nms_iou)
    kept = kept[scores[kept] >= score_floor]
    return scores[kept], labels[kept], seen.geometry.boxes_to_image(boxes[kept].numpy())


def _corners(boxes: Tensor, geometry: InputGeometry) -> Tensor:
    """Centre and size in shares of the input to corners in its pixels, cut at the picture."""
    sizes = torch.tensor([geometry.input_width, geometry.input_height], dtype=torch.float32)
    middles, half = boxes[:, :2] * sizes, boxes[:, 2:] * sizes / 2
    largest = torch.tensor([geometry.content_width, geometry.content_height], dtype=torch.float32)
    corners = torch.cat([middles - half, middles + half], 1).clamp(min=0)
    return torch.minimum(corners, largest.repeat(2))


def confidence(soft: Tensor) -> Tensor:
    """Mean probability inside each mask of K×h×w, 0 for an empty one."""
    inside = (soft >= FOREGROUND / CERTAIN).to(soft.dtype)
    return (soft * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
