# SPDX-License-Identifier: Apache-2.0
"""Judging a student on samples, with the metrics of the robot side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cast_ros.offline.evaluation.compare import Comparison, Scores
from cast_ros.offline.evaluation.ground_truth import GroundTruth
from cast_ros.student import ClassInfo, Prediction, StudentContract
from cast_train.data import Sample
from cast_train.errors import DataError


class Predictor(Protocol):
    """An exported student, or one in memory."""

    contract: StudentContract

    def predict(self, rgb: npt.NDArray[np.uint8], fx_px: float | None = None) -> Prediction:
        """Say what is in an H×W×3 RGB picture; ``fx_px`` is the camera's focal length in its pixels."""


def evaluate(student: Predictor, samples: Iterable[Sample]) -> Scores:
    """Compare predictions at the size of the picture with all the labels that the samples have."""
    comparison = Comparison(student.contract)
    for sample in samples:
        comparison.update(student.predict(sample.image, fx_px=sample.fx_px), ground_truth_of(sample))
    return comparison.compute()


def require_classes(student: Path, contract: StudentContract, dataset: str, classes: Sequence[ClassInfo]) -> None:
    """Refuse to judge a student by labels that mean something else.

    Raises:
        DataError: the classes of the student are not those of the data set, in the same order.
    """
    names = [entry.name for entry in classes]
    if list(contract.class_names) != names:
        raise DataError(
            f'{student} knows {", ".join(contract.class_names)}; {dataset} has {", ".join(names)}: they must agree'
        )


def ground_truth_of(sample: Sample) -> GroundTruth:
    """The labels of a sample in the form of the robot side."""
    return GroundTruth(
        0, sample.instance_ids, sample.instance_labels, sample.instance_is_crowd, sample.semantic, sample.depth_m
    )


def headline(scores: Scores) -> dict[str, float]:
    """The figures that a table shows, as fractions of 1 (RMSE in metres); what was not measured is left out."""
    found: dict[str, Any] = {}
    if scores.instances is not None:
        found |= {'ap': scores.instances.ap, 'ap50': scores.instances.ap50}
    if scores.semantic is not None:
        found |= {'miou': scores.semantic.miou}
    if scores.depth is not None:
        found |= {'abs_rel': scores.depth.abs_rel, 'rmse': scores.depth.rmse, 'delta1': scores.depth.delta1}
    return {name: float(value) for name, value in found.items() if value is not None}
