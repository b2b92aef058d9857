# SPDX-License-Identifier: Apache-2.0
"""CAST's composite teacher (paper section 1): class names → Grounding DINO → boxes → SAM 2 → instance masks.

Both networks are Hugging Face's, from a local folder or the local cache of the hub. The detector knows the classes,
the segmenter knows shapes and no classes; neither has a semantic map or depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert
from transformers import (
    AutoProcessor,
    GroundingDinoForObjectDetection,
    MMGroundingDinoForObjectDetection,
    Sam2Model,
    Sam2Processor,
)

from cast_ros.student import ClassInfo
from cast_train.engine.trained import millions
from cast_train.errors import TeacherError
from cast_train.settings import Positive, Settings, Share
from cast_train.teachers.mask_nms import MaskNms, exclusive, kept_rows
from cast_train.teachers.network import Device, digest, torch_device
from cast_train.teachers.pretrained import files_digest, load_network, load_part, locate, model_type
from cast_train.teachers.prompts import Prompt, class_scores, make_prompts, phrases_of
from cast_train.teachers.teacher import CERTAIN, FOREGROUND, PseudoLabels


class Part(NamedTuple):
    """One of the two networks: what may take its place, by the type that its settings name, and its processor."""

    networks: dict[str, Any]
    processor: Any


DETECTOR = Part(
    {'grounding-dino': GroundingDinoForObjectDetection, 'mm-grounding-dino': MMGroundingDinoForObjectDetection},
    AutoProcessor,
)
# SAM 2.1 is published as a video network; its picture part is the same weights, the rest is left out.
SEGMENTER = Part({'sam2': Sam2Model, 'sam2_video': Sam2Model}, Sam2Processor)
# Raise it whenever the same weights would give other labels: labels in a cache are then computed anew.
ANSWER_VERSION = 1
# The mask decoder repeats the features of the picture for every box: 100 at once would take gigabytes.
BOXES_AT_ONCE = 16


class GroundedSam2Settings(Settings):
    """Where the networks are and which of their answers count.

    Attributes:
        detector: folder or hub id of a Grounding DINO or an MM-Grounding-DINO.
        segmenter: folder or hub id of a SAM 2.
        local_files_only: never use the network; a hub id must then be in the cache.
        synonyms: class name to other words for it, in place of those of ``prompts.SYNONYMS``.
        box_threshold: smallest score of a detection.
        text_threshold: smallest score of each token of the phrase that names it; 0 asks for the mean alone.
        max_detections: most detections of a picture, best first.
        nms: which masks are the same thing twice.
        smallest_px: a mask of fewer pixels of the picture is dropped.
        batch: pictures of one size that go through the detector together.
        device: where the networks run.
    """

    detector: str
    segmenter: str
    local_files_only: bool = True
    synonyms: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    box_threshold: Share = 0.3
    text_threshold: Share = 0.0
    max_detections: Positive = 100
    nms: MaskNms = MaskNms()
    smallest_px: Positive = 16
    batch: Positive = 2
    device: Device = 'cpu'


class Detections(NamedTuple):
    """Of one picture, best first: (N,) scores, (N,) class ids, N×4 boxes x0 y0 x1 y1 in 0…1 of the picture."""

    scores: Tensor
    class_ids: Tensor
    boxes: Tensor


class GroundedSam2:
    """Labels pictures with boxes of a grounded detector that a promptable segmenter turns into masks.

    Args:
        settings: see there.
        classes: of the data set; its things are asked for by name.

    Raises:
        TeacherError: a file is missing or broken, or a class cannot be asked for.
    """

    def __init__(self, settings: GroundedSam2Settings, classes: Sequence[ClassInfo]) -> None:
        self.settings = settings
        device = torch_device(settings.device)
        self.fingerprint = fingerprint_of(settings, classes)
        self._detector, self._detector_parts = open_part(DETECTOR, settings.detector, settings.local_files_only)
        self._segmenter, self._segmenter_parts = open_part(SEGMENTER, settings.segmenter, settings.local_files_only)
        self._detector.to(device).requires_grad_(False)
        self._segmenter.to(device).requires_grad_(False)
        self.parameters_m = millions(self._detector, self._segmenter)
        self._prompts = prompts_for(classes, settings.synonyms, self._detector, self._detector_parts)

    @torch.no_grad()
    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``; what a picture gets does not depend on its companions. ``fx_px`` is not used."""
        answers = []
        for group in _same_size(images, self.settings.batch):
            for image, found in zip(group, self.detect(group), strict=True):
                answers.append(self._to_labels(image, found))
        return answers

    @torch.no_grad()
    def detect(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """Boxes in H×W×3 RGB pictures of one size: every prompt is asked, and the answers are put together."""
        pixels = self._detector_parts.image_processor(list(images), return_tensors='pt').to(self._detector.device)
        found: list[list[Detections]] = [[] for _ in images]
        for prompt in self._prompts:
            output = self._detector(**pixels, **prompt_inputs(prompt, len(images), self._detector.device))
            for index in range(len(images)):
                # What is not a number has no place in any order, and a broken network must not pass for a strict one.
                if output.logits[index].isnan().any():
                    raise TeacherError(f'{self.settings.detector}: the detector answers NaN; its weights are broken')
                scores, class_ids = class_scores(
                    output.logits[index].float().sigmoid(), prompt, self.settings.text_threshold
                )
                boxes = box_convert(output.pred_boxes[index].float(), 'cxcywh', 'xyxy').clamp(0, 1)
                found[index].append(Detections(scores, class_ids, boxes))
        return [self._best(Detections(*(torch.cat(parts) for parts in zip(*one, strict=True)))) for one in found]

    def _best(self, found: Detections) -> Detections:
        sizes = found.boxes[:, 2:] - found.boxes[:, :2]
        usable = (found.scores > self.settings.box_threshold) & (sizes > 0).all(1)
        rows = usable.nonzero()[:, 0]
        # Stable, so that equal scores keep their order and the same picture keeps its labels.
        order = found.scores[rows].argsort(descending=True, stable=True)[: self.settings.max_detections]
        return Detections(*(part[rows[order]] for part in found))

    def _to_labels(self, image: npt.NDArray[np.uint8], found: Detections) -> PseudoLabels:
        height, width = image.shape[:2]
        soft = self._masks(image, found.boxes)
        labels = found.class_ids.cpu().numpy().astype(np.int64)
        rules = self.settings.nms
        rows = kept_rows(soft >= FOREGROUND, labels, rules)
        owned = exclusive(soft[rows] >= FOREGROUND, labels[rows], rules.containment)
        # A mask keeps its soft edge, but not where another mask owns the pixel.
        taken = np.logical_or.reduce(owned, axis=0)
        soft = np.where(taken & ~owned, 0, soft[rows]).astype(np.uint8)
        cell_px = height * width / (soft.shape[1] * soft.shape[2])
        large = owned.sum((1, 2)) * cell_px >= self.settings.smallest_px
        kept = np.array(rows, np.int64)[large]
        return PseudoLabels(
            height=height,
            width=width,
            labels=labels[kept],
            scores=found.scores.cpu().numpy().astype(np.float32)[kept],
            soft_masks=soft[large],
        )

    def _masks(self, image: npt.NDArray[np.uint8], boxes: Tensor) -> npt.NDArray[np.uint8]:
        """One soft mask for each box, on the segmenter's own grid or the picture's, whichever is coarser."""
        pixels = self._segmenter_parts.image_processor([image], return_tensors='pt')['pixel_values']
        pixels = pixels.to(self._segmenter.device)
        features = self._segmenter.get_image_embeddings(pixels)
        rows, columns = mask_grid(self._segmenter)
        grid = min(image.shape[0], rows), min(image.shape[1], columns)
        masks = [np.zeros((0, *grid), np.uint8)]
        for some in boxes.split(BOXES_AT_ONCE) if len(boxes) else ():
            prompts = box_prompts(some, pixels.shape[-2:])[None]
            logits = self._segmenter(image_embeddings=features, input_boxes=prompts, multimask_output=False).pred_masks
            probabilities = logits[0].float().sigmoid()
            if probabilities.shape[-2:] != grid:
                probabilities = F.adaptive_avg_pool2d(probabilities, grid)
            masks.append((probabilities[:, 0] * CERTAIN).round().to(torch.uint8).cpu().numpy())
        return np.concatenate(masks)


def fingerprint_of(settings: GroundedSam2Settings, classes: Sequence[ClassInfo]) -> str:
    """Return the fingerprint of a teacher without loading it: of the files of both networks, phrases and thresholds.

    Raises:
        TeacherError: a file is missing, or a class cannot be asked for.
    """
    files = [files_digest(locate(name, settings.local_files_only)) for name in (settings.detector, settings.segmenter)]
    decisive = settings.model_dump(
        mode='json', exclude={'detector', 'segmenter', 'local_files_only', 'synonyms', 'batch', 'device'}
    )
    return digest('grounded_sam2', ANSWER_VERSION, *files, phrases_of(_things(classes), settings.synonyms), decisive)


def open_part(part: Part, name: str, local_files_only: bool) -> tuple[Any, Any]:
    """Return a network for ``part`` and its processor.

    Raises:
        TeacherError: it is missing, broken, or another kind of network.
    """
    folder = locate(name, local_files_only)
    kind = model_type(folder)
    if kind not in part.networks:
        raise TeacherError(
            f'{folder}: holds a {kind}, wanted is one of {", ".join(sorted(part.networks))}; name another folder'
        )
    return load_network(part.networks[kind], folder), load_part(part.processor, folder)


def prompts_for(
    classes: Sequence[ClassInfo], synonyms: dict[str, tuple[str, ...]], detector: Any, parts: Any
) -> list[Prompt]:
    """Prompts that ask a detector for the things among ``classes``; see ``prompts.make_prompts``."""
    return make_prompts(_things(classes), synonyms, parts.tokenizer, detector.config.max_text_len)


def prompt_inputs(prompt: Prompt, batch: int, device: torch.device) -> dict[str, Tensor]:
    """The same prompt for every picture of a batch, as the detector wants it."""
    ids = torch.tensor([prompt.input_ids], device=device).expand(batch, -1)
    return {'input_ids': ids, 'token_type_ids': torch.zeros_like(ids), 'attention_mask': torch.ones_like(ids)}


def box_prompts(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """N×4 boxes in 0…1 as pixels of the segmenter's input of H×W: it stretches pictures, so each axis by its own."""
    height, width = size
    return boxes * torch.tensor([width, height, width, height], device=boxes.device)


def mask_grid(segmenter: Any) -> tuple[int, int]:
    """Rows and columns of the segmenter's masks."""
    rows, columns = segmenter.prompt_encoder.image_embedding_size
    return 4 * rows, 4 * columns


def _things(classes: Sequence[ClassInfo]) -> dict[int, str]:
    return {info.id: info.name for info in classes if info.is_thing}


def _same_size(images: Sequence[npt.NDArray[np.uint8]], batch: int) -> Iterator[list[npt.NDArray[np.uint8]]]:
    """Neighbours of one size, up to ``batch`` at once: a padded picture would be seen a little differently."""
    group: list[npt.NDArray[np.uint8]] = []
    for image in images:
        if group and (len(group) == batch or image.shape != group[0].shape):
            yield group
            group = []
        group.append(image)
    if group:
        yield group
