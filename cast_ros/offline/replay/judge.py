# SPDX-License-Identifier: Apache-2.0
"""The students in a replay, and what is noted of each: picture by picture, and all together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import ImageError, MetricError
from cast_ros.monitoring import DomainShiftMonitor, Level
from cast_ros.offline.evaluation.compare import Comparison, FrameStatistics, Scores, instance_frame_of
from cast_ros.offline.evaluation.ground_truth import GroundTruth, LabelKey
from cast_ros.offline.metrics.id_switches import IdSwitches
from cast_ros.offline.metrics.instance_matches import MatchedFrames, PrecisionRecall
from cast_ros.offline.metrics.semantic import mean_iou
from cast_ros.offline.metrics.temporal import TemporalMetrics
from cast_ros.offline.replay.frames import PictureBag, RecordedFrame, truth_of
from cast_ros.student import LoadOptions, Prediction, Student, StudentContract, Timing
from cast_ros.tracking import LARGEST_NUMBER, InstanceTracker


@dataclass(frozen=True, eq=False)
class FrameNote:
    """What the comparisons of students are made of, of one picture with its mean grey value."""

    index: int
    luminance: float
    statistics: FrameStatistics


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of one class, and how many instances there are to find."""

    points: PrecisionRecall
    true_count: int


class Judge:
    """Feed it picture by picture, then ask.

    Attributes:
        notes: of every picture that was judged.
    """

    def __init__(self, student: Student, key: LabelKey | None, tracking: bool = False) -> None:
        """Raises TrackingError if tracking is asked for and not installed."""
        self.notes: list[FrameNote] = []
        self._student = student
        self._contract = student.contract
        self._key = key
        self._comparison = Comparison(self._contract, detailed=True)
        self._temporal = TemporalMetrics(self._contract.class_names)
        self._pairs = 0
        self._tracker = InstanceTracker() if tracking and self._contract.thing_ids else None
        self._switches: IdSwitches | None = None
        statistics = self._contract.input_statistics
        self._monitor = None if statistics is None else DomainShiftMonitor(statistics)
        self._levels: list[Level] = []
        self._timings: list[Timing] = []

    def truth_of(self, frame: RecordedFrame) -> GroundTruth | None:
        """In this student's classes; None without labels."""
        return truth_of(frame, self._key)

    def look(self, frame: RecordedFrame, prediction: Prediction, shown: Prediction, luminance: float) -> dict[str, Any]:
        """Take in the answer that the student has just given.

        Args:
            frame: the picture.
            prediction: nearly every row, for AP.
            shown: rows above the threshold.
            luminance: mean grey value.

        Returns:
            Values of this picture for frames.jsonl: the same in every run. Labels that are damaged or of another size
            than the picture are a `label_problem`.
        """
        assert self._student.last_timing is not None
        self._timings.append(self._student.last_timing)
        values: dict[str, Any] = {}
        if shown.scores is not None:
            values['instances'] = len(shown.scores)
        values |= self._shift_of(frame) | self._steadiness_of(frame, shown)
        truth = None
        try:
            truth = self.truth_of(frame)
            if truth is not None:
                statistics = self._comparison.update(prediction, truth, shown)
                self.notes.append(FrameNote(frame.index, luminance, statistics))
                values |= {'labelled': True} | _values_of(statistics, shown)
        except (ImageError, MetricError) as error:
            truth, values['label_problem'] = None, str(error)
        self._follow(frame, shown, truth)
        return values

    def _shift_of(self, frame: RecordedFrame) -> dict[str, Any]:
        if self._monitor is None or frame.rgb is None:
            return {}
        shift = self._monitor.update(frame.rgb, self._student.last_scores, frame.stamp_ns / 1e9)
        self._levels.append(shift.level)
        return {'shift': round(shift.distance, 6), 'shift_level': shift.level.name}

    def _steadiness_of(self, frame: RecordedFrame, shown: Prediction) -> dict[str, Any]:
        assert frame.rgb is not None
        try:
            found = self._temporal.update(frame.stamp_ns, frame.rgb, shown)
        except MetricError:
            return {}  # too small a picture for optical flow
        if found is None:
            return {}
        self._pairs += 1
        return {
            'mask_consistency': _rounded(found.mask_consistency),
            'instance_consistency': _rounded(found.instance_consistency),
            'depth_flicker': _rounded(found.depth_flicker),
        }

    def _follow(self, frame: RecordedFrame, shown: Prediction, truth: GroundTruth | None) -> None:
        if self._tracker is None or shown.boxes is None or shown.labels is None or shown.scores is None:
            return
        numbers = self._tracker.update(frame.stamp_ns, shown.boxes, shown.labels, shown.scores)
        instances = None if truth is None else instance_frame_of(shown, truth)
        if truth is None or instances is None or truth.instance_codes is None:
            return
        self._switches = self._switches or IdSwitches(self._contract.thing_ids)
        followed = np.where(numbers <= LARGEST_NUMBER, numbers, 0)
        self._switches.update(instances, followed, truth.instance_codes)

    def compute(self) -> dict[str, Any]:
        """Everything for metrics.json; sections that cannot be measured are None."""
        scores = self._comparison.compute()
        sections = [field.name for field in fields(Scores)]
        total_ms = [timing.total_ms for timing in self._timings]
        return {
            **{name: None if (part := getattr(scores, name)) is None else part.as_dict() for name in sections},
            'temporal': self._steadiness(),
            'tracking': None if self._switches is None else self._switches.compute().as_dict(),
            'shift': None
            if not self._levels
            else {
                f'{level.name.lower()}_share': sum(one is level for one in self._levels) / len(self._levels)
                for level in Level
            },
            'timing_ms': {
                **{f'p{share}': float(np.percentile(total_ms, share)) for share in (50, 95, 99)},
                'inference_p50': float(np.median([timing.inference_ms for timing in self._timings])),
            },
        }

    def _steadiness(self) -> dict[str, Any] | None:
        if not self._pairs:
            return None
        # The single pictures are in frames.jsonl.
        return {name: value for name, value in self._temporal.compute().as_dict().items() if name != 'frames'}

    def precision_recall(self) -> dict[str, Curve]:
        """By class, of those that have ground truth."""
        matches = self._all('matches')
        if not matches:
            return {}
        names = {number: self._contract.classes[number].name for number in self._contract.thing_ids}
        frames = MatchedFrames(matches, names)
        counts = {name: entry.true_count for name, entry in frames.per_class().items()}
        return {name: Curve(points, counts[name]) for name, points in frames.curves().items() if points is not None}

    def _all(self, part: str) -> list[Any]:
        """A part of the statistics, of every picture that has it."""
        return [value for note in self.notes if (value := getattr(note.statistics, part)) is not None]

    def confusion_shares(self) -> dict[str, NDArray[np.float64]] | None:
        """Of each true class, which share of its pixels was taken for what, for nothing last; None without truth."""
        confusions = self._all('confusion')
        if not confusions:
            return None
        total = np.sum(confusions, axis=0)
        pixels = total.sum(axis=1)
        return {
            entry.name: total[entry.id] / pixels[entry.id] for entry in self._contract.classes if pixels[entry.id] > 0
        }


def _values_of(statistics: FrameStatistics, shown: Prediction) -> dict[str, Any]:
    """Of one picture, for frames.jsonl; found is what a robot would see: a match that is not shown finds nothing."""
    values: dict[str, Any] = {}
    if statistics.confusion is not None:
        values['miou'] = _rounded(mean_iou(statistics.confusion[np.newaxis]))
    if statistics.depth is not None:
        errors = statistics.depth.errors
        values['abs_rel'] = _rounded(None if errors is None else errors['abs_rel'])
    if statistics.matches is not None:
        matches = statistics.matches
        # Matched best first, so that rows which are not shown have taken nothing from those that are.
        lowest = np.inf if shown.scores is None or not len(shown.scores) else float(shown.scores.min())
        found, to_find = int(matches.is_true[0][matches.scores >= lowest].sum()), sum(matches.true_counts.values())
        values |= {'found': found, 'to_find': to_find}
        values['found_share'] = _rounded(found / to_find) if to_find else None
    return values


def _rounded(value: float | None) -> float | None:
    """For files that are compared byte by byte: the last digits of a sum depend on the processor."""
    return None if value is None else round(value, 6)


@dataclass(frozen=True, eq=False)
class Contestant:
    """One student.

    Attributes:
        name: its contract's, or another if two have the same.
        topic: its name as ROS allows it in a topic; no other has the same.
        student: loaded.
        judge: what is noted of it.
    """

    name: str
    topic: str
    student: Student
    judge: Judge

    @property
    def contract(self) -> StudentContract:
        """What the student promises."""
        return self.student.contract

    def document(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            'name': self.name,
            'file': self.student.path.name,
            'version': self.contract.version,
            'sha256': self.student.sha256,
            'provider': self.student.provider,
            'input': [self.contract.input.height, self.contract.input.width],
            **self.judge.compute(),
        }


def make_contestants(
    models: Sequence[Path],
    bag: PictureBag,
    options: LoadOptions,
    stack: ExitStack,
    tracking: bool = False,
) -> list[Contestant]:
    """Load the students; the stack closes them.

    Raises:
        StudentError: one cannot be used.
        TrackingError: tracking is asked for and not installed.
    """
    found: list[Contestant] = []
    for path in models:
        student = stack.enter_context(Student.load(path, options))
        name = _new_name(student, {one.name for one in found})
        topic = _new_topic(name, {one.topic for one in found})
        found.append(Contestant(name, topic, student, Judge(student, bag.label_key(student.contract), tracking)))
    return found


def _new_name(student: Student, taken: set[str]) -> str:
    """The contract's name; students of one name get those of their files, or numbers."""
    for name in (student.contract.name, student.path.stem):
        if name not in taken:
            return name
    return next(name for number in range(2, len(taken) + 3) if (name := f'{student.path.stem} {number}') not in taken)


def _new_topic(name: str, taken: set[str]) -> str:
    word = ''.join(letter if letter.isascii() and letter.isalnum() else '_' for letter in name)
    word = word if word[:1].isalpha() else f'student_{word}'
    numbered = (word, *(f'{word}_{number}' for number in range(2, len(taken) + 3)))
    return next(topic for topic in numbered if topic not in taken)
