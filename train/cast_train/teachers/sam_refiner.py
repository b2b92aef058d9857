# SPDX-License-Identifier: Apache-2.0
"""Class-agnostic masks by Segment Anything (SAM or SAM 2, Hugging Face), with a grid of points over the whole picture.

The masks know no classes; ``methods.famda.labels`` gives them those of a class map. Threshold values are those that
SAM4UDASS uses for this very job (papers.md §3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field
from transformers import AutoImageProcessor, MaskGenerationPipeline, Sam2Model, SamModel

from cast_train.data.segments import Segments
from cast_train.engine.trained import millions
from cast_train.errors import TeacherError
from cast_train.settings import Positive, Settings, Share
from cast_train.teachers.network import Device, digest, torch_device
from cast_train.teachers.pretrained import files_digest, load_network, load_part, locate, model_type
from cast_train.teachers.teacher import PseudoLabels

# SAM 2.1 is published as a video network; its picture part is the same weights, the rest is left out.
NETWORKS: dict[str, Any] = {'sam': SamModel, 'sam2': Sam2Model, 'sam2_video': Sam2Model}
# Raise it whenever the same weights would give other masks: masks in a cache are then computed anew.
ANSWER_VERSION = 1


class SamRefinerSettings(Settings):
    """Where the network is and which masks count.

    Attributes:
        network: folder or hub id, such as ``facebook/sam-vit-huge``.
        local_files_only: never use the network; a hub id must then be in the cache.
        points_per_side: of the grid.
        points_at_once: that go through the mask decoder together.
        quality: smallest IoU that the network expects of its mask.
        stability: smallest IoU of a mask with itself under other thresholds.
        crop_layers: how often the picture is cut into parts that are looked at again, with the same grid, for small
            things.
        smallest_px: a mask of fewer pixels of the picture is dropped.
        device: where the network runs.
    """

    network: str
    local_files_only: bool = True
    points_per_side: Positive = 32
    points_at_once: Positive = 64
    quality: Share = 0.86
    stability: Share = 0.92
    crop_layers: Annotated[int, Field(ge=0, le=3)] = 1
    smallest_px: Positive = 100
    device: Device = 'cpu'


class SamRefiner:
    """Finds class-agnostic masks; its answers have segments alone.

    Args:
        settings: see there.

    Raises:
        TeacherError: a file is missing or broken, or the folder holds another kind of network.
    """

    def __init__(self, settings: SamRefinerSettings) -> None:
        folder = locate(settings.network, settings.local_files_only)
        kind = model_type(folder)
        if kind not in NETWORKS:
            raise TeacherError(f'{folder}: holds a {kind!r}, not a Segment Anything; known are {", ".join(NETWORKS)}')
        self.settings = settings
        network = load_network(NETWORKS[kind], folder).to(torch_device(settings.device)).requires_grad_(False)
        self.parameters_m = millions(network)
        pipeline: Any = MaskGenerationPipeline  # the library has no annotations here
        self._pipeline = pipeline(
            model=network, image_processor=load_part(AutoImageProcessor, folder), device=network.device
        )
        self.fingerprint = digest(
            'sam_refiner',
            ANSWER_VERSION,
            settings.model_dump_json(exclude={'network', 'local_files_only', 'points_at_once', 'device'}),
            files_digest(folder),
        )

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``; ``fx_px`` is not used."""
        return [self._label(image) for image in images]

    def _label(self, image: npt.NDArray[np.uint8]) -> PseudoLabels:
        height, width = image.shape[:2]
        settings = self.settings
        try:
            found = self._pipeline(
                Image.fromarray(image),
                points_per_batch=settings.points_at_once,
                points_per_crop=settings.points_per_side,
                pred_iou_thresh=settings.quality,
                stability_score_thresh=settings.stability,
                crops_n_layers=settings.crop_layers,
            )
        except (RuntimeError, ValueError) as error:
            raise TeacherError(
                f'{settings.network}: finds no masks in a picture of {width}×{height}: {error}'
            ) from error
        masks = [np.asarray(mask, bool) for mask in found['masks']]
        large = [mask for mask in masks if int(mask.sum()) >= settings.smallest_px]
        stacked = np.stack(large) if large else np.zeros((0, height, width), np.bool_)
        return PseudoLabels.without_instances(height, width, segments=Segments.of_masks(stacked))
