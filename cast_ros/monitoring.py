# SPDX-License-Identifier: Apache-2.0
"""Whether pictures still look like those that a student learned from: against the statistics in its contract.

A picture becomes nine numbers that change with light, weather, sensor and place more than with what is in the street. A
frame's distance is Mahalanobis' over them, in units of the distance below which 99 % of the training pictures stay:
below 1 a frame looks like training. What counts is the mean over a second or so, and a level that was reached is left
only well below the limit that led to it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cast_ros.student import AppearanceStatistics, InputStatistics

# Nine numbers of a picture this small: what is left is the light, whatever the camera's resolution.
HEIGHT, WIDTH = 64, 128
# Larger pictures are thinned before they are averaged: reading all of a megapixel costs more than all the rest.
THINNED_WIDTH = 2 * WIDTH
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Keeps the ratio of two colours finite in the dark.
DARK = 0.02
# A level is left below this share of the limit that leads to it.
HYSTERESIS = 0.9
# Standard deviations of the mean entropy from that of training; instances alone do not make an ERROR.
ENTROPY_LIMIT = 3.0
# The score from which the training statistics count a detection.
CONFIDENT = 0.4
# Instances differ from street to street: they are averaged over so many windows of the pictures.
SLOWER = 5.0

FEATURES = (
    'luminance',
    'luminance of the upper third',
    'luminance of the lower third',
    'luminance, percentile 5',
    'luminance, percentile 50',
    'luminance, percentile 95',
    'luminance, standard deviation',
    'colourfulness',
    'log red / blue',
)


def appearance_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(9,) ``FEATURES`` of an H×W×3 RGB picture; luminance is 0.299 R + 0.587 G + 0.114 B over 0…1."""
    step = max(1, rgb.shape[1] // THINNED_WIDTH)
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    share = small.astype(np.float32) / 255
    luminance = share @ LUMA
    third = HEIGHT // 3
    red, _, blue = share.mean((0, 1))
    return np.array(
        [
            luminance.mean(),
            luminance[:third].mean(),
            luminance[-third:].mean(),
            *np.percentile(luminance, [5, 50, 95]),
            luminance.std(),
            (share.max(2) - share.min(2)).mean(),
            np.log((red + DARK) / (blue + DARK)),
        ]
    )


def entropy_of(scores: NDArray[np.floating]) -> float | None:
    """Mean binary entropy of a frame's scores, nats; None without a score."""
    if not len(scores):
        return None
    p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())


class Level(enum.IntEnum):
    """How far pictures are from training."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class ShiftLimits:
    """When pictures are strange.

    Attributes:
        warn, error: distance in units of the 99th percentile of training.
        window_s: time constant of the mean, seconds.
    """

    warn: float = 1.1
    error: float = 2.0
    window_s: float = 1.0


@dataclass(frozen=True)
class Shift:
    """What the monitor says.

    Attributes:
        level: with hysteresis.
        distance: mean, in units of the 99th percentile of training.
        reason: which numbers differ most, in words; '' while all is well.
        entropy: standard deviations from training; None without instances or statistics of them.
        detections: instances per frame, mean; None without.
    """

    level: Level = Level.OK
    distance: float = 0.0
    reason: str = ''
    entropy: float | None = None
    detections: float | None = None


@dataclass
class _Mean:
    """An exponential mean in time that starts as a plain one: the first frame is not the whole truth for a second."""

    window_s: float
    value: NDArray[np.float64] | None = None
    _age_s: float = 0.0

    def update(self, value: NDArray[np.float64], elapsed_s: float) -> NDArray[np.float64]:
        self._age_s = min(self._age_s + elapsed_s, self.window_s * 1e3)
        share = 1.0
        if self.value is not None:
            filled = 1 - math.exp(-self._age_s / self.window_s)
            share = (1 - math.exp(-elapsed_s / self.window_s)) / max(filled, 1e-9)
        self.value = value if self.value is None else self.value + min(share, 1.0) * (value - self.value)
        return self.value


@dataclass
class DomainShiftMonitor:
    """Feed it every frame that is answered; one thread at a time.

    Args:
        statistics: of the contract; without appearance in them there is nothing to compare.
    """

    statistics: InputStatistics
    limits: ShiftLimits = field(default_factory=ShiftLimits)
    latest: Shift = field(default_factory=Shift)

    def __post_init__(self) -> None:
        self._reference = None if self.statistics.appearance is None else _Reference(self.statistics.appearance)
        self._appearance = _Mean(self.limits.window_s)
        self._distance = _Mean(self.limits.window_s)
        self._instances = _Mean(self.limits.window_s * SLOWER)
        self._last_s: float | None = None

    def update(self, rgb: NDArray[np.uint8], scores: NDArray[np.floating] | None, now_s: float) -> Shift:
        """Take in a frame.

        Args:
            rgb: H×W×3.
            scores: of all rows of the student, before any threshold; None if instances were not asked for.
            now_s: any steady clock.
        """
        elapsed_s = 0.1 if self._last_s is None else max(now_s - self._last_s, 1e-3)
        self._last_s = now_s
        distance, reason = self._look(rgb, elapsed_s)
        entropy, detections = self._judge_instances(scores, elapsed_s)
        strange = entropy is not None and abs(entropy) > ENTROPY_LIMIT
        level = self._level(distance)
        if strange and level is Level.OK:
            level, reason = (
                Level.WARN,
                f'scores are {"less" if (entropy or 0) > 0 else "more"} decided than in training',
            )
        self.latest = Shift(level, distance, reason if level else '', entropy, detections)
        return self.latest

    def _look(self, rgb: NDArray[np.uint8], elapsed_s: float) -> tuple[float, str]:
        if self._reference is None:
            return 0.0, ''
        features = appearance_of(rgb)
        mean = self._appearance.update(features, elapsed_s)
        distance = self._distance.update(np.array([self._reference.distance(features)]), elapsed_s)
        return float(distance[0]), self._reference.in_words(mean)

    def _judge_instances(
        self, scores: NDArray[np.floating] | None, elapsed_s: float
    ) -> tuple[float | None, float | None]:
        known, entropy = self.statistics, None if scores is None else entropy_of(scores)
        if scores is None or entropy is None or known.entropy_mean is None or known.entropy_std is None:
            return self.latest.entropy, self.latest.detections
        mean = self._instances.update(np.array([entropy, float((scores >= CONFIDENT).sum())]), elapsed_s)
        return float((mean[0] - known.entropy_mean) / max(known.entropy_std, 1e-6)), float(mean[1])

    def _level(self, distance: float) -> Level:
        limits = {Level.WARN: self.limits.warn, Level.ERROR: self.limits.error}
        level = Level.OK
        for one, limit in limits.items():
            holds = self.latest.level >= one and distance >= HYSTERESIS * limit
            if distance >= limit or holds:
                level = one
        return level


class _Reference:
    """Training pictures as mean and covariance."""

    def __init__(self, statistics: AppearanceStatistics) -> None:
        self._mean = np.array(statistics.mean)
        covariance = np.array(statistics.covariance)
        self._std = np.sqrt(np.diag(covariance)) + 1e-6
        # Sets of few or equal pictures have directions without any spread.
        self._precision = np.linalg.inv(covariance + np.diag((0.01 * self._std) ** 2 + 1e-8))
        self._unit = statistics.distance_p99

    def distance(self, features: NDArray[np.float64]) -> float:
        away = features - self._mean
        return math.sqrt(max(float(away @ self._precision @ away), 0.0)) / self._unit

    def in_words(self, features: NDArray[np.float64]) -> str:
        """The two numbers that are furthest from their means."""
        z = (features - self._mean) / self._std
        parts = [
            f'{FEATURES[index]} {features[index]:.2f} (training {self._mean[index]:.2f} ± {self._std[index]:.2f})'
            for index in np.argsort(-np.abs(z))[:2]
        ]
        return 'pictures differ from training: ' + ', '.join(parts)


def measured(features: NDArray[np.float64]) -> AppearanceStatistics:
    """Statistics of N×9 training pictures, N at least 2."""
    mean, covariance = features.mean(0), np.cov(features.T)
    unmeasured = AppearanceStatistics(
        mean=tuple(mean.tolist()), covariance=tuple(tuple(row) for row in covariance.tolist()), distance_p99=1.0
    )
    reference = _Reference(unmeasured)
    unit = float(np.percentile([reference.distance(row) for row in features], 99))
    return unmeasured.model_copy(update={'distance_p99': max(unit, 1e-3)})
