# SPDX-License-Identifier: Apache-2.0
"""Random views of a sample, with torchvision's transforms v2; geometry and labels always move together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from cast_ros.student import UNLABELLED
from cast_train.data.sample import Sample
from cast_train.settings import Settings, Share, Weight

CROWD = -1


class Augmentation(Settings):
    """How far a training view may differ from the picture.

    Attributes:
        zoom: largest enlargement; a view shows between 1/zoom of the picture's width and all of it.
        whole: chance of a view that shows all of the picture.
        flip: chance of mirroring.
        brightness, contrast, saturation: largest relative change.
        noise: largest standard deviation of added Gaussian noise, in grey levels.
        blur: chance of a Gaussian blur of up to 1.2 pixels.
    """

    zoom: Annotated[float, Field(ge=1, le=8)] = 2.0
    whole: Share = 0.25
    flip: Share = 0.5
    brightness: Share = 0.3
    contrast: Share = 0.3
    saturation: Share = 0.3
    noise: Weight = 4.0
    blur: Share = 0.1


@dataclass(frozen=True)
class View:
    """One training view; shapes as in ``Sample``, tensors, without a batch axis.

    Attributes:
        image: 3×H×W uint8.
        instance_ids: H×W int32 or None.
        instance_labels: class id of id k at k−1, vanished ids included; −1 for a crowd.
        semantic: H×W uint8 or None.
        depth_m: H×W float32 or None, metres scaled to the reference focal length; NaN where it must not be learned.
        disparity: H×W float32 or None, of unknown scale and shift.
        segments: M×H×W bool or None, class-agnostic masks, large before small.
        endless: H×W bool or None, where depth is +Inf: the sky.
        union_ids: H×W uint8 or None.
        unions, complete: as in ``Sample``.
    """

    name: str
    image: Tensor
    instance_ids: Tensor | None
    instance_labels: Tensor | None
    semantic: Tensor | None
    depth_m: Tensor | None
    disparity: Tensor | None = None
    segments: Tensor | None = None
    endless: Tensor | None = None
    union_ids: Tensor | None = None
    unions: tuple[tuple[int, ...], ...] = ()
    complete: tuple[int, ...] | None = None


def make_view(
    sample: Sample,
    height: int,
    width: int,
    focal_reference_px: float,
    cap_m: float,
    augmentation: Augmentation | None,
    seed: list[int],
) -> View:
    """Crop, resize, mirror and colour a sample into a view of ``height``×``width``.

    Args:
        sample: picture and labels.
        height: rows of the view.
        width: columns of the view.
        focal_reference_px: depth is scaled as if this focal length, in pixels of the view, had taken it: an object of
            one size in pixels then has one depth, whatever the crop or the camera. A picture of an unknown camera
            counts as if this one had taken all of it.
        cap_m: depth beyond it, before that scaling, is not learned.
        augmentation: None shows the whole picture as it is.
        seed: the same seed gives the same view.
    """
    rng = np.random.default_rng(seed)
    top, left, crop_height, crop_width = _crop_box(sample.image.shape[:2], height / width, augmentation, rng)
    mirror = augmentation is not None and rng.random() < augmentation.flip

    def move(array: npt.NDArray[Any] | None, mode: transform.InterpolationMode) -> Tensor | None:
        if array is None:
            return None
        crop = np.ascontiguousarray(array[top : top + crop_height, left : left + crop_width])
        tensor = torch.from_numpy(crop)
        tensor = tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor[None]
        smooth = mode is transform.InterpolationMode.BILINEAR
        moved: Tensor = transform.resize(tensor, [height, width], mode, antialias=smooth)
        return torch.flip(moved, [-1]) if mirror else moved

    nearest = transform.InterpolationMode.NEAREST_EXACT
    image = move(sample.image, transform.InterpolationMode.BILINEAR)
    assert image is not None
    ids = move(None if sample.instance_ids is None else sample.instance_ids.astype(np.int32), nearest)
    semantic, depth = move(sample.semantic, nearest), move(sample.depth_m, nearest)
    disparity, segments, endless = move(sample.disparity, nearest), None, None
    union_ids = move(sample.union_ids, nearest)
    if sample.segments is not None:
        found = torch.from_numpy(sample.segments.crop(top, left, crop_height, crop_width))
        small = transform.resize(found.to(torch.uint8), [height, width], nearest).bool()
        segments = torch.flip(small, [-1]) if mirror else small
    if depth is not None:
        endless = depth == torch.inf
        depth = torch.where((depth > 0) & (depth <= cap_m), depth, torch.nan)
        # Without a camera all of the picture counts as one of the reference: a part of it still looks nearer.
        fx_px = focal_reference_px * sample.image.shape[1] / width if sample.fx_px is None else sample.fx_px
        depth = depth * (focal_reference_px / (fx_px * width / crop_width))
    return View(
        name=sample.name,
        image=image if augmentation is None else _change_colours(image, augmentation, rng),
        instance_ids=None if ids is None else ids[0],
        instance_labels=_learnable_labels(sample),
        semantic=None if semantic is None else semantic[0],
        depth_m=None if depth is None else depth[0],
        disparity=None if disparity is None else disparity[0],
        segments=segments,
        endless=None if endless is None else endless[0],
        union_ids=None if union_ids is None else union_ids[0],
        unions=sample.unions,
        complete=sample.complete,
    )


def _learnable_labels(sample: Sample) -> Tensor | None:
    if sample.instance_labels is None:
        return None
    crowd = sample.instance_is_crowd
    return torch.from_numpy(sample.instance_labels if crowd is None else np.where(crowd, CROWD, sample.instance_labels))


def _crop_box(
    shape: tuple[int, int],
    aspect: float,
    augmentation: Augmentation | None,
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Top, left, height, width of the part to show; it has the aspect of the view unless all is shown."""
    height, width = shape
    if augmentation is None or rng.random() < augmentation.whole:
        return 0, 0, height, width
    largest = min(width, height / aspect)
    crop_width = max(1, round(largest / math.exp(rng.uniform(0, math.log(augmentation.zoom)))))
    crop_height = min(height, max(1, round(crop_width * aspect)))
    top, left = rng.integers(0, height - crop_height + 1), rng.integers(0, width - crop_width + 1)
    return int(top), int(left), crop_height, crop_width


def _change_colours(image: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    def factor(spread: float) -> float:
        return float(rng.uniform(1 - spread, 1 + spread))

    # In floating point from here on: uint8 would be converted there and back at every step.
    image = transform.adjust_brightness(image.float() / 255, factor(augmentation.brightness))
    image = transform.adjust_contrast(image, factor(augmentation.contrast))
    image = transform.adjust_saturation(image, factor(augmentation.saturation))
    if rng.random() < augmentation.blur:
        image = transform.gaussian_blur(image, [5, 5], [float(rng.uniform(0.3, 1.2))])
    deviation = float(rng.uniform(0, augmentation.noise))
    noise = torch.from_numpy(rng.standard_normal(image.shape, np.float32))
    return image.mul_(255).add_(noise, alpha=deviation).clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Targets:
    """Labels of one view, ready for the losses; None where the data set has no such label.

    Attributes:
        masks: M×H×W bool: one row for each visible instance and one for each stuff class present.
        labels: (M,) int64 class ids.
        semantic: H×W int64, 255 unlabelled.
        depth_m: H×W float32, NaN where it must not be learned.
        seed: of what losses draw for this picture: the same draws, whoever shares its batch; None draws from torch's
            own generator.
        disparity: H×W float32 of unknown scale and shift, NaN where it must not be learned.
        segments: M×H×W bool, class-agnostic masks, large before small; no loss looks at them, methods may.
        pixel_weights: H×W float32, how much each pixel's class counts; None counts all alike.
        endless: H×W bool, where depth is +Inf; no loss looks at it, methods may.
        union_ids: H×W int64, 0 none, k: the class is one of ``unions[k-1]``.
        unions: class ids, for each k.
        complete: class ids of the things of which every object has a mask; None for all. See ``Sample``.
        unsure: M×H×W bool, the pixels of which nobody knows whether they belong to a mask; None where all are known.
    """

    masks: Tensor | None
    labels: Tensor | None
    semantic: Tensor | None
    depth_m: Tensor | None
    seed: int | None = None
    disparity: Tensor | None = None
    segments: Tensor | None = None
    pixel_weights: Tensor | None = None
    endless: Tensor | None = None
    union_ids: Tensor | None = None
    unions: tuple[tuple[int, ...], ...] = ()
    complete: tuple[int, ...] | None = None
    unsure: Tensor | None = None

    @property
    def is_partial(self) -> bool:
        """Whether anything beside whole labels that are absent is unknown."""
        return self.union_ids is not None or self.complete is not None


def make_targets(view: View, thing_ids: tuple[int, ...], smallest_px: int = 12) -> Targets:
    """Turn the labels of a view into mask targets; instances under ``smallest_px`` pixels are left out.

    A class map without instances has masks only where no class can be counted, for then its regions are all there are,
    or where the sample says which objects are complete: then it has those of stuff alone. In partial labels (with
    unions, or with such a list) an unlabelled pixel is no evidence against a region of stuff, nor is one of a union
    with its class: both are ``unsure``. In full labels unlabelled pixels lie outside of every region, as ever.
    """
    masks: list[Tensor] = []
    labels: list[int] = []
    partial = view.union_ids is not None or view.complete is not None
    has_masks = view.instance_ids is not None or (
        view.semantic is not None and (not thing_ids or view.complete is not None)
    )
    if view.semantic is not None and has_masks:
        for label in _areas(view.semantic):
            if label != UNLABELLED and label not in thing_ids:
                masks.append(view.semantic == label)
                labels.append(label)
    if view.instance_ids is not None and view.instance_labels is not None:
        for identity, count in _areas(view.instance_ids).items():
            if identity > 0 and count >= smallest_px and view.instance_labels[identity - 1] != CROWD:
                masks.append(view.instance_ids == identity)
                labels.append(int(view.instance_labels[identity - 1]))
    height, width = view.image.shape[-2:]
    unsure = None
    if partial and view.semantic is not None:
        unsure = unsure_pixels(view.semantic, view.union_ids, view.unions, labels, thing_ids)
    return Targets(
        masks=(torch.stack(masks) if masks else torch.zeros(0, height, width, dtype=torch.bool)) if has_masks else None,
        labels=torch.tensor(labels, dtype=torch.int64) if has_masks else None,
        semantic=None if view.semantic is None else view.semantic.long(),
        depth_m=view.depth_m,
        disparity=view.disparity,
        segments=view.segments,
        endless=view.endless,
        union_ids=None if view.union_ids is None else view.union_ids.long(),
        unions=view.unions,
        complete=view.complete,
        unsure=unsure,
    )


def unsure_pixels(
    semantic: Tensor,
    union_ids: Tensor | None,
    unions: Sequence[Sequence[int]],
    labels: Sequence[int],
    thing_ids: Sequence[int],
) -> Tensor | None:
    """M×H×W bool for masks of the M classes ``labels``, see ``Targets``; what an object covers is always known."""
    unlabelled = semantic == UNLABELLED
    planes = torch.zeros(len(labels), *semantic.shape, dtype=torch.bool, device=semantic.device)
    for plane, label in zip(planes, labels, strict=True):
        if label in thing_ids:
            continue
        plane |= unlabelled
        for number, members in enumerate(unions, 1):
            if union_ids is not None and label not in members:
                plane &= union_ids != number
    return planes if planes.any() else None


def _areas(ids: Tensor) -> dict[int, int]:
    """Number of pixels of each value of H×W small whole numbers; several times as fast as sorting them."""
    counts = torch.bincount(ids.flatten())
    present = counts.nonzero().flatten()
    return dict(zip(present.tolist(), counts[present].tolist(), strict=True))
