# SPDX-License-Identifier: Apache-2.0
"""What every teacher offers, and what becomes of it: training samples, a student to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from cast_ros.student import Prediction, StudentContract
from cast_ros.student.geometry import InputGeometry
from cast_ros.student.postprocessing import paint_instances
from cast_train.data import Sample
from cast_train.data.segments import Segments
from cast_train.settings import Settings, Share

CERTAIN = 255
# Soft masks from here on count as the instance.
FOREGROUND = 128


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """A teacher's answer for one picture of H×W pixels.

    Attributes:
        height: H.
        width: W.
        labels: (N,) int64 class ids of things, best score first.
        scores: (N,) float32 in 0…1.
        soft_masks: N×h×w uint8, 255 means certain; the grid spans the whole picture and may be coarser than it.
        semantic: H×W uint8 class ids, 255 unlabelled; None if the teacher has no such answer.
        depth_m: H×W float32 metres for this picture's own camera, NaN unknown, +Inf sky; None as above.
        disparity: H×W float32 inverse depth of unknown scale and shift; None as above.
        segments: class-agnostic masks; None as above.
        knows_instances: whether no row means no object; else the teacher says nothing of objects.
    """

    height: int
    width: int
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    soft_masks: npt.NDArray[np.uint8]
    semantic: npt.NDArray[np.uint8] | None = None
    depth_m: npt.NDArray[np.float32] | None = None
    disparity: npt.NDArray[np.float32] | None = None
    segments: Segments | None = None
    knows_instances: bool = True

    @classmethod
    def without_instances(
        cls,
        height: int,
        width: int,
        depth_m: npt.NDArray[np.float32] | None = None,
        disparity: npt.NDArray[np.float32] | None = None,
        segments: Segments | None = None,
        semantic: npt.NDArray[np.uint8] | None = None,
    ) -> PseudoLabels:
        """The answer of a teacher that knows no classes."""
        nothing = np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 1, 1), np.uint8)
        return cls(height, width, *nothing, semantic, depth_m, disparity, segments, knows_instances=False)


class Teacher(Protocol):
    """A source of pseudo-labels."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of weights and settings: the same fingerprint gives the same labels."""

    @property
    def parameters_m(self) -> float:
        """Millions of parameters."""

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """Label H×W×3 RGB pictures; ``fx_px`` is the focal length of each in its own pixels, None if unknown."""


class PseudoLabelSettings(Settings):
    """Which detections of a teacher a student learns from.

    Attributes:
        score: lower ones are left out (0.3 in CAST's code).
        smallest_px: an instance that owns fewer pixels of the picture is left out.
        visible: an instance that owns less than this share of its mask, because better ones came first, is a
            duplicate and left out.
    """

    score: Share = 0.3
    smallest_px: Annotated[int, Field(ge=1)] = 12
    visible: Share = 0.3


def pseudo_sample(sample: Sample, answer: PseudoLabels, settings: PseudoLabelSettings) -> Sample:
    """Return ``sample`` with the teacher's labels in place of its own, whatever those were.

    The better detection owns a contested pixel. Kept instances overwrite the semantic map; where the map names a thing
    that no kept instance covers it stays as it is, since it knows more there than the detections do.
    """
    ids, rows = _paint(answer, settings)
    labels = answer.labels[rows]
    semantic = answer.semantic
    if semantic is not None:
        by_id = np.concatenate([np.zeros(1, np.uint8), labels.astype(np.uint8)])
        semantic = np.where(ids > 0, by_id[ids], semantic)
    # What people said in unions is theirs, too.
    told = replace(sample, semantic=semantic, union_ids=None, unions=(), groups=(), depth_m=answer.depth_m)
    if semantic is not None and not answer.knows_instances:
        return replace(told, instance_ids=None, instance_labels=None, instance_is_crowd=None, complete=None)
    return replace(told, instance_ids=ids, instance_labels=labels, instance_is_crowd=np.zeros(len(rows), bool))


def _paint(answer: PseudoLabels, settings: PseudoLabelSettings) -> tuple[npt.NDArray[np.uint16], list[int]]:
    """Instance ids H×W of the kept rows, and those rows."""
    ids = np.zeros((answer.height, answer.width), np.uint16)
    rows: list[int] = []
    for row in np.argsort(-answer.scores, kind='stable'):
        if not answer.scores[row] >= settings.score:
            break
        soft = cv2.resize(answer.soft_masks[row], (answer.width, answer.height), interpolation=cv2.INTER_LINEAR)
        mask = np.asarray(soft) >= FOREGROUND
        own = mask & (ids == 0)
        count = int(own.sum())
        if count < settings.smallest_px or count < settings.visible * int(mask.sum()):
            continue
        rows.append(int(row))
        ids[own] = len(rows)
    return ids, rows


class TeacherAsStudent:
    """Lets ``cast_train.engine.evaluate`` judge a teacher exactly as it judges a student: all detections count.

    Args:
        teacher: to be judged.
        contract: its classes, and the cap up to which depth is judged; only those matter.
    """

    def __init__(self, teacher: Teacher, contract: StudentContract) -> None:
        self.contract = contract
        self._teacher = teacher

    def predict(self, rgb: npt.NDArray[np.uint8], fx_px: float | None = None) -> Prediction:
        """See ``cast_ros.student.Student.predict``."""
        (answer,) = self._teacher.label([rgb], [fx_px])
        height, width = answer.height, answer.width
        sampler = InputGeometry(height, width, height, width, height, width).to_image_maps(
            *answer.soft_masks.shape[-2:]
        )
        as_logits: npt.NDArray[Any] = answer.soft_masks.astype(np.float32) - (FOREGROUND - 0.5)
        instances = paint_instances(answer.scores, answer.labels, as_logits, sampler, self.contract.thing_ids, 0.0)
        return Prediction(
            height=height,
            width=width,
            image_height=height,
            image_width=width,
            boxes=instances.boxes,
            labels=instances.labels,
            scores=instances.scores,
            instance_ids=instances.instance_ids,
            semantic=answer.semantic,
            depth=answer.depth_m,
        )
