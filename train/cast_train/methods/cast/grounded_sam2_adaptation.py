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
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, sigmoid_focal_loss

from cast_ros.student import ClassInfo
from cast_train.data.sample import Sample
from cast_train.losses.points import boxes_of
from cast_train.methods.cast.adaptation import AdaptationSettings, FineTuning, Report, view_of
from cast_train.methods.cast.grounding import GroundedBoxes, GroundingWeights, grounding_loss
from cast_train.settings import Positive, Share, Weight
from cast_train.teachers.grounded_sam2 import (
    GroundedSam2Settings,
    box_prompts,
    mask_grid,
    open_detector,
    open_segmenter,
    prompt_inputs,
    prompts_for,
)
from cast_train.teachers.network import digest, torch_device
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


def adapt_detector(
    teacher: GroundedSam2Settings,
    classes: Sequence[ClassInfo],
    samples: Sequence[Sample],
    settings: DetectorAdaptation,
    folder: Path,
    report: Report | None = None,
) -> GroundedSam2Settings:
    """Teach the detector of ``teacher`` the boxes of samples; its language model stays as it is.

    Args:
        teacher: the pretrained one.
        classes: of the samples.
        samples: with true or pseudo-labels; those without instances labels are left out.
        settings: see there.
        folder: where the adapted detector is written; an older one there is replaced.
        report: called with the number of each finished step and its terms.

    Returns:
        The teacher's settings with the adapted detector.

    Raises:
        TeacherError: the pretrained one cannot be opened, or the adapted one not be written.
        TrainingError: nothing to learn from, or the loss is not finite.
    """
    device = torch_device(teacher.device)
    detector, parts = open_detector(teacher.detector, teacher.local_files_only)
    prompts = prompts_for(classes, teacher.synonyms, detector, parts)
    detector.to(device).train()
    detector.model.text_backbone.requires_grad_(False).eval()
    progress, origin = _run_of(folder, teacher.detector, teacher, settings, samples)
    tuning = FineTuning(detector, {'model.backbone.': settings.backbone_factor}, settings, progress, origin, report)
    for step, chosen, rng in tuning.steps(samples):
        prompt = prompts[step % len(prompts)]
        pictures, targets = [], []
        for sample in chosen:
            image, masks, class_ids = view_of(sample, settings, rng)
            pictures.append(image)
            targets.append(_grounded(masks, class_ids, prompt, device))
        size = {'shortest_edge': int(rng.choice(settings.short_sides_px)), 'longest_edge': settings.long_side_px}
        pixels = parts.image_processor(pictures, size=size, return_tensors='pt').to(device)
        inputs = {**pixels, **prompt_inputs(prompt, len(pictures), device)}
        terms = grounding_loss(_levels(detector, inputs, len(prompt.input_ids)), targets, settings.losses)
        torch.stack(list(terms.values())).sum().backward()
        tuning.update(step, {name: value.item() for name, value in terms.items()})
    save_pretrained(folder, detector, parts)
    tuning.finish()
    return teacher.model_copy(update={'detector': str(folder)})


def adapt_mask_decoder(
    teacher: GroundedSam2Settings,
    samples: Sequence[Sample],
    settings: MaskDecoderAdaptation,
    folder: Path,
    report: Report | None = None,
) -> GroundedSam2Settings:
    """Teach the mask decoder of ``teacher`` the masks of samples, asked for with boxes; the encoders stay as they are.

    The adapted decoder answers a box with the mask that it learned for boxes, always: the pretrained one falls back to
    another of its masks when that one is unstable, and those are not learned here.

    Args:
        teacher: the pretrained one.
        samples: with true or pseudo-labels; those without instance labels are left out.
        settings: see there.
        folder: where the adapted segmenter is written; an older one there is replaced.
        report: called with the number of each finished step and its terms.

    Returns:
        The teacher's settings with the adapted segmenter.

    Raises:
        TeacherError: the pretrained one cannot be opened, or the adapted one not be written.
        TrainingError: nothing to learn from, or the loss is not finite.
    """
    device = torch_device(teacher.device)
    segmenter, parts = open_segmenter(teacher.segmenter, teacher.local_files_only)
    segmenter.to(device).requires_grad_(False)
    segmenter.mask_decoder.requires_grad_(True).train()
    progress, origin = _run_of(folder, teacher.segmenter, teacher, settings, samples)
    tuning = FineTuning(segmenter, {}, settings, progress, origin, report)
    for step, chosen, rng in tuning.steps(samples):
        sums = {'focal': 0.0, 'dice': 0.0}
        for sample in chosen:
            image, masks, _ = view_of(sample, settings, rng)
            if not len(masks):
                continue
            masks = masks[np.sort(rng.permutation(len(masks))[: settings.boxes])]
            terms = _mask_terms(segmenter, parts, image, masks, settings, rng)
            (torch.stack(list(terms.values())).sum() / len(chosen)).backward()
            sums = {name: value + terms[name].item() / len(chosen) for name, value in sums.items()}
        tuning.update(step, sums)
    segmenter.config.mask_decoder_config.dynamic_multimask_via_stability = False
    save_pretrained(folder, segmenter, parts)
    tuning.finish()
    return teacher.model_copy(update={'segmenter': str(folder)})


def is_missing(folder: Path) -> bool:
    """Whether an adapted network still has to be written to ``folder``; if not, what a kill left of its run goes."""
    if not folder.is_dir():
        return True
    _progress_of(folder).unlink(missing_ok=True)
    return False


def _progress_of(folder: Path) -> Path:
    return folder.with_name(f'{folder.name}.progress.pt')


def _run_of(
    folder: Path, source: str, teacher: GroundedSam2Settings, settings: AdaptationSettings, samples: Sequence[Sample]
) -> tuple[Path, str]:
    """Where an unfinished run keeps its checkpoint, and what decides its outcome."""
    labels = hashlib.sha256()
    for sample in samples:
        labels.update(sample.name.encode())
        for array in (sample.instance_ids, sample.instance_labels):
            labels.update(b'' if array is None else np.ascontiguousarray(array).tobytes())
    pretrained = files_digest(locate(source, teacher.local_files_only))
    learned = settings.model_dump(mode='json', exclude={'checkpoint_every'})
    return _progress_of(folder), digest(pretrained, teacher.synonyms, learned, labels.hexdigest())


def _grounded(masks: Tensor, class_ids: Tensor, prompt: Prompt, device: torch.device) -> GroundedBoxes:
    """Targets among what the prompt asks for."""
    tokens = prompt.positive_map(class_ids)
    asked = tokens.any(1)
    boxes = box_convert(boxes_of(masks[asked]), 'xyxy', 'cxcywh') if asked.any() else torch.zeros(0, 4)
    return GroundedBoxes(boxes.to(device), tokens[asked].to(device))


def _levels(detector: Any, inputs: dict[str, Tensor], tokens: int) -> list[tuple[Tensor, Tensor]]:
    """Token logits and boxes of the encoder's best proposals, then of every decoder layer."""
    layers: list[tuple[Tensor, Tensor]] = []

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


def _mask_terms(
    segmenter: Any,
    parts: Any,
    image: npt.NDArray[np.uint8],
    masks: Tensor,
    settings: MaskDecoderAdaptation,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Weighted focal and Dice loss of the masks of one picture, judged on the grid of the segmenter's answers."""
    pixels = parts.image_processor([image], return_tensors='pt')['pixel_values'].to(segmenter.device)
    boxes = boxes_of(masks)
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    noise = torch.from_numpy(rng.standard_normal(boxes.shape)).float().clamp(-2, 2)
    boxes = (boxes + settings.jitter * sides * noise).clamp(0, 1).to(segmenter.device)
    prompts = box_prompts(boxes, pixels.shape[-2:])[None]
    logits = segmenter(pixel_values=pixels, input_boxes=prompts, multimask_output=False).pred_masks[0, :, 0].float()
    wanted = F.adaptive_avg_pool2d(masks.float(), mask_grid(segmenter)).to(logits.device)
    probabilities = logits.sigmoid()
    overlap = (probabilities * wanted).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (probabilities.sum((1, 2)) + wanted.sum((1, 2)) + 1)
    focal = sigmoid_focal_loss(logits, wanted, reduction='mean')
    return {'focal': settings.focal * focal, 'dice': settings.dice * dice.mean()}
