# SPDX-License-Identifier: Apache-2.0
"""Depth by Depth Anything (Hugging Face): metres from its metric checkpoints, disparity from the relative ones.

A metric checkpoint that was fine-tuned on Virtual KITTI 2 has seen what may be the source of an adaptation: say so
wherever its results are shown (papers.md §3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from transformers import AutoImageProcessor, DepthAnythingForDepthEstimation

from cast_train.engine.trained import millions
from cast_train.errors import TeacherError
from cast_train.settings import Settings
from cast_train.teachers.network import Device, digest, torch_device
from cast_train.teachers.pretrained import files_digest, load_network, load_part, locate, model_type
from cast_train.teachers.teacher import PseudoLabels

MODEL_TYPE, METRIC = 'depth_anything', 'metric'
# Raise it whenever the same weights would give other depth: labels in a cache are then computed anew.
ANSWER_VERSION = 2
# Metric heads end in a sigmoid, which comes near their largest depth and never reaches it.
CAP_SHARE = 0.95


class DepthAnythingSettings(Settings):
    """Where the network is and how its metres are to be read; whether it gives metres its own settings say.

    Attributes:
        network: folder or hub id, such as ``depth-anything/Depth-Anything-V2-Small-hf``.
        local_files_only: never use the network; a hub id must then be in the cache.
        fx_over_width: focal length ÷ width of the camera that the network learned metres with (0.584 for Virtual
            KITTI 2). With it, metres are scaled to each picture's own camera; None takes them as they come.
        cap_m: metres from here on are sky; None for ``CAP_SHARE`` of the most that a metric network can say.
        device: where the network runs.
    """

    network: str
    local_files_only: bool = True
    fx_over_width: Annotated[float, Field(gt=0)] | None = None
    cap_m: Annotated[float, Field(gt=0)] | None = None
    device: Device = 'cpu'


class DepthAnything:
    """Answers with ``depth_m`` or ``disparity`` alone.

    Args:
        settings: see there.

    Raises:
        TeacherError: a file is missing or broken, or the folder holds another kind of network.
    """

    def __init__(self, settings: DepthAnythingSettings) -> None:
        folder = locate(settings.network, settings.local_files_only)
        kind = model_type(folder)
        if kind != MODEL_TYPE:
            raise TeacherError(f'{folder}: holds a {kind!r}, not a {MODEL_TYPE}; name the folder of a Depth Anything')
        self.settings = settings
        network = load_network(DepthAnythingForDepthEstimation, folder)
        self._network = network.to(torch_device(settings.device)).requires_grad_(False)
        self._processor = load_part(AutoImageProcessor, folder)
        self.is_metric = self._network.config.depth_estimation_type == METRIC
        most_m = float(self._network.config.max_depth)
        self.cap_m = CAP_SHARE * most_m if settings.cap_m is None else settings.cap_m
        self.parameters_m = millions(self._network)
        self.fingerprint = digest(
            'depth_anything',
            ANSWER_VERSION,
            settings.model_dump_json(exclude={'network', 'local_files_only', 'device'}),
            files_digest(folder),
        )

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``; one by one, so that no picture's answer depends on its companions.

        Raises:
            TeacherError: the network answers something else than finite numbers.
        """
        return [self._label(image, fx) for image, fx in zip(images, fx_px, strict=True)]

    @torch.no_grad()
    def _label(self, image: npt.NDArray[np.uint8], fx_px: float | None) -> PseudoLabels:
        height, width = image.shape[:2]
        pixels = self._processor(images=image, return_tensors='pt').to(self._network.device)
        answer = self._network(**pixels).predicted_depth[0].float().cpu().numpy()
        if not np.isfinite(answer).all():
            raise TeacherError(f'{self.settings.network}: answers numbers that are not finite; its weights are broken')
        plane = cv2.resize(answer, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        if not self.is_metric:
            return PseudoLabels.without_instances(height, width, disparity=plane)
        learned = self.settings.fx_over_width
        scale = 1.0 if learned is None or fx_px is None else fx_px / width / learned
        metres = np.where(plane >= self.cap_m, np.inf, plane * scale).astype(np.float32)
        metres[plane <= 0] = np.nan
        return PseudoLabels.without_instances(height, width, depth_m=metres)
