# SPDX-License-Identifier: Apache-2.0
"""Any network of ours as a teacher."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cast_ros.student import InputSpec, StudentContract
from cast_ros.student.geometry import InputGeometry
from cast_ros.student.postprocessing import read_depth, read_semantic, sky_mask
from cast_train.engine.trained import load_student, millions
from cast_train.errors import TeacherError
from cast_train.models import QueryPrediction, StudentNetwork, compose_semantic
from cast_train.models.graph import best_instances
from cast_train.settings import Settings, Share, Side
from cast_train.teachers.teacher import CERTAIN, PseudoLabels

# Raise it whenever the same weights would give other labels: labels in a cache are then computed anew.
ANSWER_VERSION = 1
MAP_STRIDE = 4

Device = Literal['cpu', 'cuda']


class NetworkSettings(Settings):
    """Which network, and how it is asked.

    Attributes:
        checkpoint: a run folder, or the file in it.
        score_floor: detections below are not even kept.
        input: height and width that pictures get, instead of those that the run exports for: a network answers best at
            the size of the views that it learned from.
        device: where the network runs.
    """

    checkpoint: Path
    score_floor: Share = 0.0
    input: tuple[Side, Side] | None = None
    device: Device = 'cpu'


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network sees in one picture, on its own grid of h×w cells.

    Attributes:
        geometry: where the picture lies in the input.
        final: the last level of the query decoder, without a batch axis.
        semantic: h×w uint8 class ids.
        depth: h×w float32 metres for the reference camera.
    """

    geometry: InputGeometry
    final: QueryPrediction
    semantic: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]


class NetworkTeacher:
    """Labels with a student's network; takes it over: frozen, and in evaluation mode.

    Args:
        network: in memory.
        contract: its classes, input size, and the reference camera of its depth.
        score_floor: see ``NetworkSettings``.
    """

    def __init__(self, network: StudentNetwork, contract: StudentContract, score_floor: float = 0.0) -> None:
        self.network = network.eval().requires_grad_(False)
        self.contract = contract
        self._score_floor = score_floor
        self.parameters_m = millions(network)
        self.fingerprint = digest(
            'network',
            ANSWER_VERSION,
            contract.input.model_dump_json(),
            contract.depth,
            score_floor,
            weights_digest(network),
        )

    @classmethod
    def open(cls, settings: NetworkSettings) -> NetworkTeacher:
        """Load the averaged weights of a run.

        Raises:
            TeacherError: there is no such checkpoint.
            TrainingError: it cannot be read, or does not fit its recipe.
        """
        network, contract = open_network(settings.checkpoint, settings.device, settings.input)
        return cls(network, contract, settings.score_floor)

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``; all pictures go through the network as one batch."""
        seen = see(self.network, self.contract.input, images)
        return [to_labels(one, self.contract, fx, self._score_floor) for one, fx in zip(seen, fx_px, strict=True)]


def open_network(
    checkpoint: Path, device: Device, size: tuple[int, int] | None = None
) -> tuple[StudentNetwork, StudentContract]:
    """Return the network of a run on ``device`` (``cuda`` is the one of this rank) and its contract.

    ``size`` is the height and width of its input, if not the run's own.

    Raises:
        TeacherError: there is no such checkpoint, or no such device.
    """
    if not checkpoint.exists():
        raise TeacherError(
            f'{checkpoint}: no such run; a teacher is a run folder of cast-train with last.pt in it, or that file'
        )
    student, _, _ = load_student(checkpoint)
    contract = student.contract
    if size is not None:
        placed = contract.input.model_copy(update={'height': size[0], 'width': size[1]})
        contract = contract.model_copy(update={'input': placed})
    return student.network.to(torch_device(device)), contract


def torch_device(device: Device) -> torch.device:
    """The device of this process; under ``torchrun`` each process of a machine has its own GPU.

    Raises:
        TeacherError: there is no GPU.
    """
    if device == 'cpu':
        return torch.device('cpu')
    if not torch.cuda.is_available():
        raise TeacherError('this machine has no CUDA device that torch can use; set device to cpu')
    return torch.device('cuda', int(os.environ.get('LOCAL_RANK', '0')))


@torch.no_grad()
def see(network: StudentNetwork, spec: InputSpec, images: Sequence[npt.NDArray[np.uint8]]) -> list[Seen]:
    """Run pictures of any sizes through a network in evaluation mode as one batch."""
    geometries = [InputGeometry.for_image(image.shape[0], image.shape[1], spec) for image in images]
    output = network(to_batch(images, geometries, network))
    final = QueryPrediction(*(part.float().cpu() for part in output.levels[-1]))
    semantic = compose_semantic(final).argmax(1).to(torch.uint8).numpy()
    depth = output.log_depth.float().exp().cpu().numpy()
    return [
        Seen(geometry, QueryPrediction(*(part[row] for part in final)), semantic[row], depth[row])
        for row, geometry in enumerate(geometries)
    ]


def to_batch(
    images: Sequence[npt.NDArray[np.uint8]], geometries: Sequence[InputGeometry], network: nn.Module
) -> Tensor:
    """B×3×H×W float inputs of a network, on its device."""
    inputs = np.stack([geometry.to_network(image) for geometry, image in zip(geometries, images, strict=True)])
    return torch.from_numpy(inputs).permute(0, 3, 1, 2).float().to(next(network.parameters()).device)


def to_labels(seen: Seen, contract: StudentContract, fx_px: float | None, score_floor: float) -> PseudoLabels:
    """Everything in it as labels of the picture; rows as ``StudentGraph`` would export them."""
    class_logits, mask_logits, _ = seen.final
    scores, labels, queries = best_instances(class_logits, mask_logits, torch.tensor(contract.thing_ids))
    kept = scores >= score_floor
    return assemble(
        seen, contract, fx_px, scores[kept], labels[kept], soft_masks(mask_logits[queries[kept]], seen.geometry)
    )


def assemble(
    seen: Seen,
    contract: StudentContract,
    fx_px: float | None,
    scores: Tensor,
    labels: Tensor,
    masks: npt.NDArray[np.uint8],
) -> PseudoLabels:
    """Put detections together with the semantic map and the metric depth at the size of the picture."""
    geometry = seen.geometry
    sampler = geometry.to_image_maps(*seen.semantic.shape)
    semantic = read_semantic(seen.semantic, sampler, len(contract.classes))
    depth_m = None
    if contract.depth is not None:
        scale = 1.0 if fx_px is None else geometry.fx_at_input(fx_px) / contract.depth.focal_reference_px
        depth_m = read_depth(seen.depth, sampler, scale, contract.depth.cap_m, sky_mask(semantic, contract))
    return PseudoLabels(
        height=geometry.image_height,
        width=geometry.image_width,
        labels=labels.numpy().astype(np.int64),
        scores=scores.numpy().astype(np.float32),
        soft_masks=masks,
        semantic=semantic,
        depth_m=depth_m,
    )


def soft_masks(logits: Tensor, geometry: InputGeometry) -> npt.NDArray[np.uint8]:
    """N×h×w logits on the grid of the input as soft masks on a grid of the picture, padding cut off."""
    soft = (logits.sigmoid() * CERTAIN).round().to(torch.uint8).numpy()
    if not geometry.is_padded:
        return np.ascontiguousarray(soft)
    sampler = geometry.to_content_maps(*soft.shape[-2:])
    size = max(1, geometry.content_width // MAP_STRIDE), max(1, geometry.content_height // MAP_STRIDE)
    shrunk = [
        cv2.resize(sampler.linear(mask.astype(np.float32)), size, interpolation=cv2.INTER_AREA).round().astype(np.uint8)
        for mask in soft
    ]
    return np.stack(shrunk) if shrunk else np.zeros((0, size[1], size[0]), np.uint8)


def weights_digest(network: nn.Module) -> str:
    """Hexadecimal digest of every parameter and buffer, names and types included."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def digest(*parts: object) -> str:
    """Hexadecimal digest of parts whose text says all about them."""
    return hashlib.sha256('\n'.join(str(part) for part in parts).encode()).hexdigest()
