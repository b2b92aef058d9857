# SPDX-License-Identifier: Apache-2.0
"""The moving average of a student that is still learning, as its own teacher."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cast_ros.student import InputSpec, StudentContract
from cast_train.engine.ema import MovingAverage
from cast_train.errors import TeacherError
from cast_train.models import Student
from cast_train.teachers.network import digest, see, to_labels
from cast_train.teachers.teacher import PseudoLabels

LARGEST_STRIDE = 32


class EmaTeacher:
    """Labels with the weights as they are now; pictures go in at their own size, as views of a batch do.

    Args:
        average: kept up to date by the training loop.
        contract: its classes, and the reference camera of its depth.
        score_floor: detections below are not even kept.
    """

    def __init__(self, average: MovingAverage[Student], contract: StudentContract, score_floor: float = 0.0) -> None:
        self._average, self._contract, self._score_floor = average, contract, score_floor
        # Two trainings count alike but learn differently: without a name of its own one could read the other's labels.
        self._name = secrets.token_hex(16)

    @property
    def fingerprint(self) -> str:
        """See ``Teacher``; another one after every update, so that nothing is ever found in a cache."""
        return digest('ema', self._name, self._average.updates)

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """See ``Teacher``.

        Raises:
            TeacherError: the pictures differ in size, or their sides are not multiples of 32.
        """
        shapes = {image.shape[:2] for image in images}
        if len(shapes) != 1 or any(side % LARGEST_STRIDE for shape in shapes for side in shape):
            raise TeacherError(
                f'views of {", ".join(f"{width}×{height}" for height, width in sorted(shapes))} cannot be labelled '
                f'together; all need one size, in multiples of {LARGEST_STRIDE}'
            )
        ((height, width),) = shapes
        seen = see(self._average.network, InputSpec(height=height, width=width), images)
        return [to_labels(one, self._contract, fx, self._score_floor) for one, fx in zip(seen, fx_px, strict=True)]
