# SPDX-License-Identifier: Apache-2.0
"""Judging a student on samples, with the metrics of the robot side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cast_ros.offline.evaluation.compare import Comparison, Scores
from cast_ros.offline.evaluation.ground_truth import GroundTruth
from cast_ros.offline.metrics.semantic import SemanticMetrics
from cast_ros.student import UNLABELLED, ClassInfo, Prediction, StudentContract
from cast_train.data import Sample
from cast_train.errors import DataError


class Predictor(Protocol):
    """An exported student, or one in memory."""

    contract: StudentContract

    def predict(self, rgb: npt.NDArray[np.uint8], fx_px: float | None = None) -> Prediction:
        """Say what is in an H×W×3 RGB picture; ``fx_px`` is the camera's focal length in its pixels."""


def evaluate(student: Predictor, samples: Iterable[Sample]) -> Scores:
    """Compare predictions at the size of the picture with all the labels that the samples have.

    Classes that the labels never tell apart (``Sample.groups``) are one class of the semantic scores.

    Raises:
        DataError: the samples have different groups, as those of different data sets do.
    """
    comparison = Comparison(student.contract)
    grouped: _GroupedSemantic | None = None
    groups: tuple[tuple[int, ...], ...] | None = None
    for sample in samples:
        answer = student.predict(sample.image, fx_px=sample.fx_px)
        comparison.update(answer, ground_truth_of(sample))
        if sample.semantic is None or answer.semantic is None:
            continue
        groups = sample.groups if groups is None else groups
        if sample.groups != groups:
            raise DataError(
                f'{sample.name}: its labels tell other classes apart than those before; judge each data set alone'
            )
        if groups:
            grouped = grouped or _GroupedSemantic(student.contract.class_names, groups)
            grouped.update(answer.semantic, sample.semantic, sample)
    scores = comparison.compute()
    return scores if grouped is None else replace(scores, semantic=grouped.metrics.compute())


class _GroupedSemantic:
    """Semantic metrics in which the classes of a group are one, at the place of the first and with the names of all."""

    def __init__(self, names: Sequence[str], groups: tuple[tuple[int, ...], ...]) -> None:
        self._groups = groups
        first = {label: members[0] for members in groups for label in members}
        kept = [label for label in range(len(names)) if first.get(label, label) == label]
        self._place = np.full(UNLABELLED + 1, UNLABELLED, np.uint8)
        for label in range(len(names)):
            self._place[label] = kept.index(first.get(label, label))
        together = {members[0]: '/'.join(names[label] for label in members) for members in groups}
        self.metrics = SemanticMetrics([together.get(label, names[label]) for label in kept])

    def update(self, answer: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], sample: Sample) -> None:
        """Add a picture; pixels of unions that are no group are not judged."""
        wanted = self._place[labels]
        if sample.union_ids is not None:
            members = [self._place[union[0]] if union in self._groups else UNLABELLED for union in sample.unions]
            of_union = np.array([UNLABELLED, *members], np.uint8)
            wanted = np.where(sample.union_ids > 0, of_union[sample.union_ids], wanted)
        self.metrics.update(self._place[answer], wanted)


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
