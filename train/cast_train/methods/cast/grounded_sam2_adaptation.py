# SPDX-License-Identifier: Apache-2.0
"""Stage 1 for the composite teacher: the detector without its language model, and the mask decoder of SAM 2.

Both functions start from the pretrained folder and write a folder of the same form, so the supervised stage (1a) and
self-training (1b, restarted from the pretrained teacher) differ only in the samples they are given. Recipe of the
published code (papers 1.4): the detector at 5e-5 with its backbone at a tenth of it, gradients clipped at 0.1, the rate
cut at 70 % and 90 % of the steps. Left out of it: the denoising queries, which Hugging Face's networks do not have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, sigmoid_focal_loss
from typing_extensions import Self

from cast_ros.student import ClassInfo
from cast_train.data.sample import Sample
from cast_train.engine.task import Rows
from cast_train.losses.points import boxes_of
from cast_train.methods.cast.adaptation import AdaptationSettings, AdaptationTask, adapt, forget_checkpoints, view_of
from cast_train.methods.cast.grounding import GroundedBoxes, GroundingWeights, grounding_loss
from cast_train.settings import Positive, Share, Weight
from cast_train.teachers.grounded_sam2 import (
    DETECTOR,
    SEGMENTER,
    GroundedSam2Settings,
    box_prompts,
    mask_grid,
    open_part,
    prompt_inputs,
    prompts_for,
)
from cast_train.teachers.network import digest
from cast_train.teachers.pretrained import files_digest, locate, save_pretrained
from cast_train.teachers.prompts import Prompt


class DetectorAdaptation(AdaptationSettings):
    """Of the detector.

    Attributes:
        backbone_factor: of the learning rate.
        short_sides_px: of the picture after resizing, one drawn for each step.
        long_side_px: limit of the other side.
        losses: weights of the terms.
    """

    backbone_factor: Weight = 0.1
    short_sides_px: tuple[Positive, ...] = tuple(range(480, 801, 32))
    long_side_px: Positive = 1333
    losses: GroundingWeights = GroundingWeights()


class MaskDecoderAdaptation(AdaptationSettings):
    """Of the mask decoder; rate and weights of the terms are those of SAM 2's own fine-tuning.

    Attributes:
        boxes: most instances of a picture in a step.
        jitter: noise on the corners of a box, in shares of its sides; a detector's boxes are not exact either.
        focal: weight of the focal loss.
        dice: weight of the Dice loss.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 5e-6
    boxes: Positive = 16
    jitter: Share = 0.1
    focal: Weight = 20.0
    dice: Weight = 1.0


class DetectorTask(AdaptationTask):
    """The losses of Grounding DINO on what it is asked for; its language model always predicts."""

    settings: DetectorAdaptation

    def __init__(self, detector: Any, processor: Any, prompts: Sequence[Prompt], settings: DetectorAdaptation) -> None:
        super().__init__(detector, settings, {'model.backbone.': settings.backbone_factor})
        self.text = detector.model.text_backbone.requires_grad_(False)
        self._processor, self._prompts = processor, prompts

    def batch_of(self, step: int, samples: Sequence[Sample], rng: np.random.Generator) -> Rows:
        """Pictures of one size, as the detector takes them, and what the prompt of the step asks for in them."""
        prompt, settings = self._prompts[step % len(self._prompts)], self.settings
        views = [view_of(sample, settings, rng) for sample in samples]
        size = {'shortest_edge': int(rng.choice(settings.short_sides_px)), 'longest_edge': settings.long_side_px}
        pixels = self._processor([image for image, _, _ in views], size=size, return_tensors='pt')
        inputs = {**pixels, **prompt_inputs(prompt, len(views), torch.device('cpu'))}
        rows = []
        for number, (_, masks, class_ids) in enumerate(views):
            tokens = prompt.positive_map(class_ids)
            asked = tokens.any(1)
            boxes = box_convert(boxes_of(masks[asked]), 'xyxy', 'cxcywh') if asked.any() else torch.zeros(0, 4)
            own = {name: tensor[number] for name, tensor in inputs.items()}
            rows.append({**own, 'boxes': boxes, 'tokens': tokens[asked]})
        return Rows(rows)

    def forward(self, batch: Rows, step: int) -> dict[str, Tensor]:
        """See ``Task``."""
        torch.manual_seed(int(np.random.default_rng([self.settings.seed, step, 0]).integers(2**62)))
        targets = [GroundedBoxes(row['boxes'], row['tokens']) for row in batch.rows]
        names = batch.rows[0].keys() - {'boxes', 'tokens'}
        inputs = {name: torch.stack([row[name] for row in batch.rows]) for name in names}
        return grounding_loss(_levels(self.network, inputs), targets, self.settings.losses)


class MaskDecoderTask(AdaptationTask):
    """Weighted focal and Dice loss of the masks of a picture; one without instances teaches nothing."""

    # The decoder repeats the features of a picture for each of its boxes.
    at_once = False
    settings: MaskDecoderAdaptation

    def __init__(self, segmenter: Any, processor: Any, settings: MaskDecoderAdaptation) -> None:
        segmenter.requires_grad_(False)
        super().__init__(segmenter.mask_decoder.requires_grad_(True), settings)
        self.segmenter, self._processor = segmenter, processor

    def train(self, mode: bool = True) -> Self:
        """Switch what learns."""
        self.segmenter.eval()
        self.network.train(mode)
        return self

    def batch_of(self, step: int, samples: Sequence[Sample], rng: np.random.Generator) -> Rows:
        """Of each picture what the segmenter is asked, and masks on the grid of its answers; nothing without any."""
        return Rows([self._row(sample, rng) for sample in samples])

    def forward(self, batch: Rows, step: int) -> dict[str, Tensor]:
        """See ``Task``."""
        (row,) = batch.rows
        if not row:
            return {'focal': torch.zeros(()), 'dice': torch.zeros(())}
        inputs = {name: row[name] for name in ('pixel_values', 'input_boxes')}
        logits = self.segmenter(**inputs, multimask_output=False).pred_masks[0, :, 0].float()
        probabilities, wanted = logits.sigmoid(), row['masks']
        overlap = (probabilities * wanted).sum((1, 2))
        dice = 1 - (2 * overlap + 1) / (probabilities.sum((1, 2)) + wanted.sum((1, 2)) + 1)
        focal = sigmoid_focal_loss(logits, wanted, reduction='mean')
        return {'focal': self.settings.focal * focal, 'dice': self.settings.dice * dice.mean()}

    def _row(self, sample: Sample, rng: np.random.Generator) -> dict[str, Tensor]:
        image, masks, _ = view_of(sample, self.settings, rng)
        if not len(masks):
            return {}
        masks = masks[np.sort(rng.permutation(len(masks))[: self.settings.boxes])]
        pixels = self._processor([image], return_tensors='pt')['pixel_values']
        boxes = boxes_of(masks)
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        noise = torch.from_numpy(rng.standard_normal(boxes.shape)).float().clamp(-2, 2)
        boxes = (boxes + self.settings.jitter * sides * noise).clamp(0, 1)
        wanted = F.adaptive_avg_pool2d(masks.float(), mask_grid(self.segmenter))
        return {'pixel_values': pixels, 'input_boxes': box_prompts(boxes, pixels.shape[-2:])[None], 'masks': wanted}


def adapt_detector(
    teacher: GroundedSam2Settings,
    classes: Sequence[ClassInfo],
    samples: Sequence[Sample],
    settings: DetectorAdaptation,
    folder: Path,
) -> GroundedSam2Settings:
    """Teach the detector of ``teacher`` the boxes of samples; its language model stays as it is.

    Args:
        teacher: the pretrained one.
        classes: of the samples.
        samples: with true or pseudo-labels; those without instances labels are left out.
        settings: see there.
        folder: where the adapted detector is written; an older one there is replaced.

    Returns:
        The teacher's settings with the adapted detector.

    Raises:
        TeacherError: the pretrained one cannot be opened, or the adapted one not be written.
        TrainingError: nothing to learn from, or the loss is not finite.
    """
    detector, parts = open_part(DETECTOR, teacher.detector, teacher.local_files_only)
    prompts = prompts_for(classes, teacher.synonyms, detector, parts)
    task = DetectorTask(detector, parts.image_processor, prompts, settings)
    adapt(task, samples, folder, _origin(teacher.detector, teacher, settings, samples), teacher.device)
    save_pretrained(folder, detector, parts)
    forget_checkpoints(folder)
    return teacher.model_copy(update={'detector': str(folder)})


def adapt_mask_decoder(
    teacher: GroundedSam2Settings, samples: Sequence[Sample], settings: MaskDecoderAdaptation, folder: Path
) -> GroundedSam2Settings:
    """Teach the mask decoder of ``teacher`` the masks of samples, asked for with boxes; the encoders stay as they are.

    The adapted decoder answers a box with the mask that it learned for boxes, always: the pretrained one falls back to
    another of its masks when that one is unstable, and those are not learned here. For the rest see ``adapt_detector``.
    """
    segmenter, parts = open_part(SEGMENTER, teacher.segmenter, teacher.local_files_only)
    task = MaskDecoderTask(segmenter, parts.image_processor, settings)
    adapt(task, samples, folder, _origin(teacher.segmenter, teacher, settings, samples), teacher.device)
    segmenter.config.mask_decoder_config.dynamic_multimask_via_stability = False
    save_pretrained(folder, segmenter, parts)
    forget_checkpoints(folder)
    return teacher.model_copy(update={'segmenter': str(folder)})


def is_missing(folder: Path) -> bool:
    """Whether an adapted network still has to be written to ``folder``; if not, what a kill left of its run goes."""
    if not folder.is_dir():
        return True
    forget_checkpoints(folder)
    return False


def _origin(source: str, teacher: GroundedSam2Settings, settings: AdaptationSettings, samples: Sequence[Sample]) -> str:
    """Digest of what decides the outcome of a run."""
    labels = hashlib.sha256()
    for sample in samples:
        labels.update(sample.name.encode())
        for array in (sample.instance_ids, sample.instance_labels):
            labels.update(b'' if array is None else np.ascontiguousarray(array).tobytes())
    pretrained = files_digest(locate(source, teacher.local_files_only))
    learned = settings.model_dump(mode='json', exclude={'checkpoint_every', 'log_every'})
    return digest(pretrained, teacher.synonyms, learned, labels.hexdigest())


def _levels(detector: Any, inputs: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Token logits and boxes of the encoder's best proposals, then of every decoder layer."""
    layers: list[tuple[Tensor, Tensor]] = []
    tokens = inputs['input_ids'].shape[1]

    def keep(*_: Any, outputs_class: Tensor, outputs_coord: Tensor, **__: Any) -> tuple[None, None, None]:
        layers.extend(zip(outputs_class[..., :tokens].float(), outputs_coord.float(), strict=True))
        return None, None, None

    # The networks show all their layers to their loss alone; ours needs them outside of it.
    detector.loss_function = keep
    output = detector(**inputs, labels=[])
    if output.enc_outputs_class is None:
        return layers
    logits, boxes = output.enc_outputs_class[..., :tokens].float(), output.enc_outputs_coord_logits.float().sigmoid()
    best = logits.max(-1).values.topk(detector.config.num_queries, dim=1).indices[..., None]
    proposals = logits.gather(1, best.expand(-1, -1, tokens)), boxes.gather(1, best.expand(-1, -1, 4))
    return [proposals, *layers]
