# SPDX-License-Identifier: Apache-2.0
"""What training pictures look like to a student, for the domain-shift monitor on the robot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from cast_ros.monitoring import CONFIDENT, LUMA, appearance_of, entropy_of, measured
from cast_ros.student import InputStatistics, Student
from cast_train.data import Sample
from cast_train.engine.evaluate import Predictor
from cast_train.export.onnx import write_with_contract

HISTOGRAM_BINS = 16


def measure_statistics(student: Predictor, samples: Sequence[Sample]) -> InputStatistics:
    """Luminance over 0…1, appearance, entropy and number of detections of at least two pictures."""
    luminance = [sample.image @ LUMA / 255 for sample in samples]
    histogram = sum(np.histogram(picture, HISTOGRAM_BINS, (0, 1))[0] / picture.size for picture in luminance) / len(
        samples
    )
    means = [float(picture.mean()) for picture in luminance]
    entropies, counts = [], []
    for sample in samples:
        scores = student.predict(sample.image, fx_px=sample.fx_px).scores
        entropy = None if scores is None else entropy_of(scores)
        if scores is not None and entropy is not None:
            entropies.append(entropy)
            counts.append(int((scores >= CONFIDENT).sum()))
    appearances = np.stack([appearance_of(sample.image) for sample in samples])
    return InputStatistics(
        luminance_mean=float(np.mean(means)),
        luminance_std=float(np.std(means)),
        luminance_histogram=tuple(float(value) for value in np.asarray(histogram)),
        entropy_mean=float(np.mean(entropies)) if entropies else None,
        entropy_std=float(np.std(entropies)) if entropies else None,
        detections_per_frame=float(np.mean(counts)) if counts else None,
        appearance=measured(appearances) if len(samples) > 1 else None,
    )


def restate_statistics(path: Path, samples: Sequence[Sample], out: Path) -> InputStatistics:
    """Measure an exported student's statistics on pictures that it should know, and write it with them to ``out``.

    Raises:
        StudentError: the file is no student.
        ExportError: it cannot be written.
    """
    with Student.load(path) as student:
        found = measure_statistics(student, samples)
        contract = student.contract.model_copy(update={'input_statistics': found})
        write_with_contract(onnx.load(str(path)), contract, out)
    return found
