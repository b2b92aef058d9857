# SPDX-License-Identifier: Apache-2.0
"""Pictures for the report: small ones spread over the drive, and the worst ones with their ground truth."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cast_ros.images import encode_jpeg
from cast_ros.offline.evaluation.ground_truth import GroundTruth
from cast_ros.overlay import draw_overlay
from cast_ros.student import Prediction, StudentContract

if TYPE_CHECKING:
    from cast_ros.offline.replay.frames import PictureBag, RecordedFrame
    from cast_ros.offline.replay.judge import Contestant

MOST_THUMBNAILS = 120
THUMBNAIL_WIDTH_PX, THUMBNAIL_QUALITY = 320, 65
WORST_WIDTH_PX, WORST_QUALITY = 480, 75
WORST_OF_EACH = 4
# Pictures beside each other are the same picture to a reader.
LEAST_DISTANCE = 10


def as_data_url(bgr: NDArray[np.uint8], width_px: int, quality: int) -> str:
    """A JPEG that stands in the page itself."""
    height = max(1, round(bgr.shape[0] * width_px / bgr.shape[1]))
    rule = cv2.INTER_AREA if width_px < bgr.shape[1] else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(bgr, (width_px, height), interpolation=rule), dtype=np.uint8)
    rgb = np.ascontiguousarray(small[..., ::-1])
    return 'data:image/jpeg;base64,' + base64.b64encode(encode_jpeg(rgb, quality)).decode()


@dataclass
class Thumbnails:
    """The answers to pictures spread over the drive.

    Args:
        pictures: how many pictures will come.

    Attributes:
        by_index: the number of a picture on its topic, to one small picture per student.
    """

    pictures: int
    by_index: dict[int, list[str]] = field(default_factory=dict)

    def look(self, frame: RecordedFrame, contestants: Sequence[Contestant], shown: Sequence[Prediction]) -> None:
        """Keep this one if it is its turn."""
        if frame.rgb is None or frame.index % math.ceil(self.pictures / MOST_THUMBNAILS):
            return
        self.by_index[frame.index] = [
            as_data_url(draw_overlay(frame.rgb, answer, one.contract), THUMBNAIL_WIDTH_PX, THUMBNAIL_QUALITY)
            for one, answer in zip(contestants, shown, strict=True)
        ]


@dataclass(frozen=True)
class WorstPicture:
    """One picture on which a student did badly, as data URLs: what each student said, and the truth if there is any."""

    index: int
    stamp_ns: int
    answers: list[str]
    truth: str | None


def worst_indices(values: Sequence[tuple[int, float]]) -> list[int]:
    """Numbers of the pictures with the lowest values, no two of them close together."""
    chosen: list[int] = []
    for index, _ in sorted(values, key=lambda entry: (entry[1], entry[0])):
        if all(abs(index - other) >= LEAST_DISTANCE for other in chosen):
            chosen.append(index)
        if len(chosen) == WORST_OF_EACH:
            break
    return chosen


def draw_worst(
    bag: PictureBag, contestants: Sequence[Contestant], wanted: Collection[int], score_threshold: float
) -> dict[int, WorstPicture]:
    """Go through the bag once more for a few pictures: their answers are the same as the first time."""
    found = {}
    for frame in bag.frames():
        if frame.index in wanted and frame.rgb is not None:
            answers = []
            for one in contestants:
                answer = one.student.predict(frame.rgb, frame.fx_px, score_threshold=score_threshold)
                overlay = draw_overlay(frame.rgb, answer, one.contract)
                answers.append(as_data_url(overlay, WORST_WIDTH_PX, WORST_QUALITY))
            truth = contestants[0].judge.truth_of(frame)
            drawn = None if truth is None else draw_truth(frame.rgb, truth, contestants[0].contract)
            found[frame.index] = WorstPicture(
                frame.index,
                frame.stamp_ns,
                answers,
                None if drawn is None else as_data_url(drawn, WORST_WIDTH_PX, WORST_QUALITY),
            )
        if len(found) == len(wanted):
            break
    return found


def draw_truth(rgb: NDArray[np.uint8], truth: GroundTruth, contract: StudentContract) -> NDArray[np.uint8]:
    """What is really there, drawn as an answer would be; BGR."""
    height, width = rgb.shape[:2]
    boxes = labels = scores = ids = None
    if truth.instance_ids is not None and truth.instance_labels is not None:
        ids, labels = truth.instance_ids, truth.instance_labels
        scores = np.ones(len(labels), np.float32)
        boxes = np.array([_box_of(ids == row + 1) for row in range(len(labels))], np.float32).reshape(-1, 4)
    answer = Prediction(height, width, height, width, boxes, labels, scores, ids, truth.semantic, truth.depth)
    return draw_overlay(rgb, answer, contract, show_scores=False)


def _box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return left, top, left + width, top + height
