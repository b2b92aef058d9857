# SPDX-License-Identifier: Apache-2.0
"""Networks of ours in the roles of foundation models: class-agnostic masks as SAM's, depth as Depth Anything's.

On the street benchmark they stand in for networks that cannot be had there. Their classes are thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cast_ros.student import StudentContract
from cast_train.data.segments import Segments
from cast_train.engine.trained import millions
from cast_train.errors import TeacherError
from cast_train.models import StudentNetwork
from cast_train.settings import Positive, Settings, Share, Side
from cast_train.teachers.network import (
    Device,
    NetworkSettings,
    NetworkTeacher,
    Seen,
    digest,
    open_network,
    see,
    weights_digest,
)
from cast_train.teachers.teacher import PseudoLabels

# Raise it whenever the same weights would give other answers: answers in a cache are then computed anew.
ANSWER_VERSION = 1


class NetworkSegmentsSettings(Settings):
    """Which masks of a network count, whatever class it gives them.

    Attributes:
        checkpoint: a run folder, or the file in it.
        score: least probability that a query has found anything.
        smallest_px: a mask of fewer pixels of the picture is dropped.
        input: height and width that pictures get, instead of those that the run exports for.
        device: where the network runs.
    """

    checkpoint: Path
    score: Share = 0.5
    smallest_px: Positive = 12
    input: tuple[Side, Side] | None = None
    device: Device = 'cpu'


class NetworkSegments:
    """Answers with the masks of all queries, things and stuff alike, without their classes.

    Args:
        network: in memory.
        contract: its input size.
        settings: which masks count.
    """

    def __init__(self, network: StudentNetwork, contract: StudentContract, settings: NetworkSegmentsSettings) -> None:
        self._network = network.eval().requires_grad_(False)
        self._contract, self._settings = contract, settings
        self.parameters_m = millions(network)
        self.fingerprint = digest(
            'network_segments',
            ANSWER_VERSION,
            contract.input.model_dump_json(),
            settings.model_dump_json(exclude={'checkpoint', 'input', 'device'}),
            weights_digest(network),
        )

    @classmethod
    def open(cls, settings: NetworkSegmentsSettings) -> NetworkSegments:
        """Load the averaged weights of a run.

        Raises:
            TeacherError: there is no such checkpoint.
        """
        return cls(*open_network(settings.checkpoint, settings.device, settings.input), settings)

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``; ``fx_px`` is not used."""
        return [self._answer(one) for one in see(self._network, self._contract.input, images)]

    def _answer(self, seen: Seen) -> PseudoLabels:
        geometry = seen.geometry
        height, width = geometry.image_height, geometry.image_width
        found = 1 - seen.final.class_logits.softmax(-1)[:, -1] >= self._settings.score
        sampler = geometry.to_image_maps(*seen.semantic.shape)
        masks = [sampler.linear(logits) > 0 for logits in seen.final.mask_logits[found].numpy()]
        large = [mask for mask in masks if int(mask.sum()) >= self._settings.smallest_px]
        stacked = np.stack(large) if large else np.zeros((0, height, width), np.bool_)
        return PseudoLabels.without_instances(height, width, segments=Segments.of_masks(stacked))


class NetworkDepth:
    """Answers with the metric depth of a network of ours alone.

    Args:
        teacher: whose depth it is; needs a depth head.
    """

    def __init__(self, teacher: NetworkTeacher) -> None:
        self._teacher = teacher
        self.parameters_m = teacher.parameters_m
        self.fingerprint = digest('network_depth', ANSWER_VERSION, teacher.fingerprint)

    @classmethod
    def open(cls, settings: NetworkSettings) -> NetworkDepth:
        """Load the averaged weights of a run.

        Raises:
            TeacherError: there is no such checkpoint, or it has no depth.
        """
        teacher = NetworkTeacher.open(settings)
        if teacher.contract.depth is None:
            raise TeacherError(f'{settings.checkpoint}: has no depth head; name a run of a student with depth')
        return cls(teacher)

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``."""
        return [
            PseudoLabels.without_instances(answer.height, answer.width, depth_m=answer.depth_m)
            for answer in self._teacher.label(images, fx_px)
        ]
