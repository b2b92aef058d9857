# SPDX-License-Identifier: Apache-2.0
"""Semantic maps by networks of others that come as ONNX files: class ids, or a score for each class.

Only files without external data are opened. Their classes are translated by name, through the class map into the
classes that are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from cast_ros.student import UNLABELLED, ClassInfo
from cast_train.data import cityscapes
from cast_train.data.class_maps import targets_into
from cast_train.errors import TeacherError
from cast_train.settings import Settings, Share
from cast_train.teachers.network import digest
from cast_train.teachers.onnx_network import OnnxNetwork
from cast_train.teachers.teacher import PseudoLabels

# Raise it whenever the same files would give other labels: labels in a cache are then computed anew.
ANSWER_VERSION = 1

# In the order of Cityscapes' train ids, which the classes of its loader have.
CITYSCAPES = tuple(entry.name for entry in cityscapes.CLASSES)
VOC = (
    *('background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('diningtable', 'dog', 'horse', 'motorcycle', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor'),
)
ANSWERS = {'cityscapes': CITYSCAPES, 'voc': VOC}
"""What the ids of a network mean, by the name of the setting."""


class OnnxSemanticSettings(Settings):
    """Which networks, what their ids mean, and what is believed of them.

    Attributes:
        networks: ONNX files; of several, scores are averaged, and where one gives ids alone all must agree.
        answers: what the ids mean.
        least: pixels whose best class has less than this probability stay unlabelled; for networks with scores.
        tiles: a picture is cut into overlapping tiles of the network's own shape where it is wider than that by more
            than a half.
        mean, std: of the channels, for inputs of floats in 0…1; those of ImageNet for most.
        colors: order of the channels.
    """

    networks: Annotated[tuple[Path, ...], Field(min_length=1)]
    answers: Literal['cityscapes', 'voc'] = 'cityscapes'
    least: Share = 0.6
    tiles: bool = True
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    colors: Literal['rgb', 'bgr'] = 'rgb'


class OnnxSemantic:
    """Answers with ``semantic`` alone; what nobody is sure of is unlabelled.

    Args:
        settings: see there.
        classes: of the pictures to label.

    Raises:
        TeacherError: a file is missing, is no such network, or knows none of the classes.
    """

    def __init__(self, settings: OnnxSemanticSettings, classes: Sequence[ClassInfo]) -> None:
        self.settings = settings
        self._networks = [OnnxNetwork(path) for path in settings.networks]
        names = ANSWERS[settings.answers]
        self._ids = ids_into(names, classes)
        if (self._ids == UNLABELLED).all():
            raise TeacherError(
                f'{settings.networks[0]}: knows {", ".join(names)}, and the pictures need '
                f'{", ".join(entry.name for entry in classes)}; take a class map into which it translates'
            )
        self._count = len(classes)
        self.parameters_m = sum(network.parameters_m for network in self._networks)
        self.fingerprint = digest(
            'onnx_semantic',
            ANSWER_VERSION,
            settings.model_dump_json(exclude={'networks'}),
            self._ids.tolist(),
            *(hashlib.sha256(path.read_bytes()).hexdigest() for path in settings.networks),
        )

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``; one by one, so that no picture's answer depends on its companions."""
        del fx_px  # nothing here is in metres
        found = []
        for image in images:
            height, width = image.shape[:2]
            found.append(PseudoLabels.without_instances(height, width, semantic=self.semantic(image)))
        return found

    def semantic(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """H×W class ids of an H×W×3 RGB picture, 255 where nobody is sure."""
        total = np.zeros((*image.shape[:2], self._count), np.float32)
        with_scores, certain = 0, np.ones(image.shape[:2], bool)
        for network in self._networks:
            scores, has_scores = self._scores(network, image)
            total += scores
            with_scores += has_scores
            # Of ids alone every network must say the same.
            certain &= True if has_scores else scores.max(2) > 0
        best = total.argmax(2).astype(np.uint8)
        share = total.max(2) / len(self._networks)
        least = self.settings.least if with_scores else 1.0
        return np.asarray(np.where(certain & (share >= least - 1e-6), best, UNLABELLED), np.uint8)

    def _scores(self, network: OnnxNetwork, image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], bool]:
        """H×W×C probabilities of the classes that are asked for; and whether they are more than 0 and 1."""
        height, width = image.shape[:2]
        total = np.zeros((height, width, self._count), np.float32)
        times = np.zeros((height, width, 1), np.float32)
        has_scores = False
        for left, right in self._columns(network, width / height, width):
            answer = network.run(image[:, left:right], self.settings.mean, self.settings.std, self.settings.colors)
            own, has_scores = self._translated(answer, network)
            total[:, left:right] += cv2.resize(own, (right - left, height), interpolation=cv2.INTER_LINEAR).reshape(
                height, right - left, self._count
            )
            times[:, left:right] += 1
        total /= times
        # Between two ids there is no probability: the nearer one.
        return (total, True) if has_scores else ((total > 0.5).astype(np.float32), False)

    def _columns(self, network: OnnxNetwork, aspect: float, width: int) -> list[tuple[int, int]]:
        own = network.width / network.height
        if not self.settings.tiles or aspect <= 1.5 * own:
            return [(0, width)]
        count = int(np.ceil(aspect / own - 0.25))
        size = round(width * min(1.0, own / aspect * 1.15))
        return [(left, left + size) for left in np.linspace(0, width - size, count).round().astype(int).tolist()]

    def _translated(
        self, answer: npt.NDArray[np.generic], network: OnnxNetwork
    ) -> tuple[npt.NDArray[np.float32], bool]:
        """h×w×C of what one network says of one tile."""
        known = len(self._ids) - 1
        plane = np.squeeze(np.asarray(answer), 0)
        if plane.ndim == 3 and plane.shape[0] == known:
            plane = plane.transpose(1, 2, 0)
        if plane.ndim == 3 and plane.shape[2] == known:
            probabilities = _probabilities(plane.astype(np.float32))
            found = np.zeros((*plane.shape[:2], self._count), np.float32)
            for own, ours in enumerate(self._ids[:known].tolist()):
                if ours != UNLABELLED:
                    found[..., ours] += probabilities[..., own]
            return found, True
        if plane.ndim == 2 and np.issubdtype(plane.dtype, np.integer):
            ids = self._ids[np.where((plane >= 0) & (plane < known), plane, known)]
            return (ids[..., None] == np.arange(self._count)).astype(np.float32), False
        raise TeacherError(
            f'{network.path}: answers {plane.dtype} of shape {plane.shape}; wanted are H×W class ids, or scores of the '
            f'{known} classes of {self.settings.answers}'
        )


def _probabilities(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """h×w×C from logits, or as they are where the network has taken the softmax itself."""
    if scores.min() >= 0 and np.allclose(scores.sum(2), 1, atol=1e-2):
        return scores
    exponents = np.exp(scores - scores.max(2, keepdims=True))
    return np.asarray(exponents / exponents.sum(2, keepdims=True), np.float32)


def ids_into(names: Sequence[str], classes: Sequence[ClassInfo]) -> npt.NDArray[np.uint8]:
    """(N + 1,) id of one of these classes for each name, 255 for none; the last one is for ids beyond the names."""
    id_of, targets = {entry.name: entry.id for entry in classes}, targets_into(classes)
    found = [id_of.get(targets.get(name, name), UNLABELLED) for name in names]
    return np.array([*found, UNLABELLED], np.uint8)
