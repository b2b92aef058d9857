# SPDX-License-Identifier: Apache-2.0
"""What training pictures look like to a student, for the domain-shift monitor on the robot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cast_ros.student import InputStatistics
from cast_train.data import Sample
from cast_train.engine.evaluate import Predictor

HISTOGRAM_BINS = 16
LUMA = np.array([0.299, 0.587, 0.114])


def measure_statistics(student: Predictor, samples: Sequence[Sample], confident: float = 0.4) -> InputStatistics:
    """Luminance over 0…1, entropy and number of detections; ``confident`` is the score that counts."""
    luminance = [sample.image @ LUMA / 255 for sample in samples]
    histogram = sum(np.histogram(picture, HISTOGRAM_BINS, (0, 1))[0] / picture.size for picture in luminance) / len(
        samples
    )
    means = [float(picture.mean()) for picture in luminance]
    entropies, counts = [], []
    for sample in samples:
        scores = student.predict(sample.image, fx_px=sample.fx_px).scores
        if scores is not None and len(scores):
            p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
            entropies.append(float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()))
            counts.append(int((scores >= confident).sum()))
    return InputStatistics(
        luminance_mean=float(np.mean(means)),
        luminance_std=float(np.std(means)),
        luminance_histogram=tuple(float(value) for value in np.asarray(histogram)),
        entropy_mean=float(np.mean(entropies)) if entropies else None,
        entropy_std=float(np.std(entropies)) if entropies else None,
        detections_per_frame=float(np.mean(counts)) if counts else None,
    )
