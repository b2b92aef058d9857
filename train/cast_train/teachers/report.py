# SPDX-License-Identifier: Apache-2.0
"""What a teacher said about many pictures, in figures, and when those say that it has collapsed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from cast_ros.student import ClassInfo
from cast_train.errors import TeacherError
from cast_train.settings import Positive, Settings, Share
from cast_train.teachers.teacher import PseudoLabels


class CollapseRule(Settings):
    """When labels are too poor to learn from.

    Attributes:
        after: pictures before anything is judged.
        most_empty: largest share of pictures without a detection.
        most_one_class: largest share of all detections that one class may take; 1 allows it, as do data sets with one.
        least_confidence: smallest mean score of the detections that count.
    """

    after: Positive = 50
    most_empty: Share = 0.9
    most_one_class: Share = 0.98
    least_confidence: Share = 0.35


@dataclass
class LabelReport:
    """Sums that can be added up over processes; only detections of at least the threshold count.

    Attributes:
        asked: pictures to label.
        labelled: of which there are labels.
        computed: of which the teacher was asked now; the others were in the cache.
        damaged: label files that were found damaged and computed anew.
        empty: pictures without a detection.
        detections: in all pictures.
        confidence: sum of their scores.
        per_class: class id to detections.
    """

    asked: int = 0
    labelled: int = 0
    computed: int = 0
    damaged: int = 0
    empty: int = 0
    detections: int = 0
    confidence: float = 0.0
    per_class: dict[int, int] = field(default_factory=dict)

    def add(self, answer: PseudoLabels, threshold: float) -> None:
        """Count the labels of one picture."""
        counted = answer.scores >= threshold
        self.labelled += 1
        self.empty += _says_nothing(answer, bool(counted.any()))
        self.detections += int(counted.sum())
        self.confidence += float(answer.scores[counted].sum(dtype=np.float64))
        for label in answer.labels[counted].tolist():
            self.per_class[label] = self.per_class.get(label, 0) + 1

    @classmethod
    def merged(cls, reports: Iterable[LabelReport]) -> LabelReport:
        """The sum of reports on different pictures."""
        total = cls()
        for report in reports:
            for name in (entry.name for entry in fields(cls) if entry.name != 'per_class'):
                setattr(total, name, getattr(total, name) + getattr(report, name))
            for label, count in report.per_class.items():
                total.per_class[label] = total.per_class.get(label, 0) + count
        return total

    @classmethod
    def from_sums(cls, sums: Mapping[str, Any]) -> LabelReport:
        """What ``as_document`` wrote under ``sums``."""
        return cls(**{**sums, 'per_class': {int(label): count for label, count in sums['per_class'].items()}})

    def as_document(self, classes: Sequence[ClassInfo], threshold: float) -> dict[str, Any]:
        """Figures and sums, as JSON values."""
        names = {entry.id: entry.name for entry in classes}
        histogram = {names.get(label, str(label)): count for label, count in sorted(self.per_class.items())}
        return {
            'coverage': _share(self.labelled, self.asked),
            'mean_confidence': _share(self.confidence, self.detections),
            'detections_per_picture': _share(self.detections, self.labelled),
            'empty_share': _share(self.empty, self.labelled),
            'class_histogram': histogram,
            'score_threshold': threshold,
            'sums': {
                **{entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != 'per_class'},
                'per_class': {str(label): count for label, count in sorted(self.per_class.items())},
            },
        }

    def require_health(self, rule: CollapseRule, classes: Sequence[ClassInfo]) -> None:
        """Stop before a student learns from nothing.

        Raises:
            TeacherError: enough pictures are labelled, and a limit of ``rule`` is crossed.
        """
        if self.labelled < rule.after:
            return
        problems = []
        if self.empty > rule.most_empty * self.labelled:
            problems.append(f'{self.empty} of {self.labelled} pictures have no detection, most_empty {rule.most_empty}')
        if self.detections:
            mean = self.confidence / self.detections
            if mean < rule.least_confidence:
                problems.append(f'mean confidence is {mean:.3f}, least_confidence {rule.least_confidence}')
            label, count = max(self.per_class.items(), key=lambda pair: pair[1])
            things = sum(entry.is_thing for entry in classes)
            if things > 1 and count > rule.most_one_class * self.detections:
                name = next((entry.name for entry in classes if entry.id == label), str(label))
                problems.append(f'{count} of {self.detections} are {name}, most_one_class {rule.most_one_class}')
        if problems:
            raise TeacherError(
                f'the labels have collapsed: {"; ".join(problems)}; '
                'look at some of them, use another teacher or checkpoint, or relax the limit if the pictures are so'
            )


def _says_nothing(answer: PseudoLabels, has_instances: bool) -> bool:
    """Without a detection; masks without a class count as such; whoever knows depth or a map alone has none."""
    depth_alone = answer.disparity is not None or (answer.depth_m is not None and answer.semantic is None)
    map_alone = answer.semantic is not None and not answer.knows_instances
    return not (has_instances or depth_alone or map_alone or answer.segments)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 5) if whole else None
