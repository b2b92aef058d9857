# SPDX-License-Identifier: Apache-2.0
"""A prediction cut at a threshold is the one that would have been given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_replay import street
from tiny_student import tiny_student

from cast_ros.student import LoadOptions, Prediction, Student


@pytest.mark.parametrize('place', [0, 20])
def test_a_higher_threshold_afterwards_is_that_threshold_from_the_start(tmp_path: Path, place: int) -> None:
    rgb = street(place)[0]
    rgb[100:120, 20:60] = (200, 60, 60)  # neither car nor road
    with Student.load(tiny_student(tmp_path / 'tiny.onnx'), LoadOptions(threads=1)) as student:
        every = student.predict(rgb)
        assert every.scores is not None
        assert len(every.scores) > 1
        for threshold in (0.0, 0.3, *every.scores.tolist(), 0.999999):
            cut, asked = every.with_scores_from(threshold), student.predict(rgb, score_threshold=threshold)
            for name in ('boxes', 'labels', 'scores', 'instance_ids', 'semantic', 'depth'):
                np.testing.assert_array_equal(getattr(cut, name), getattr(asked, name))


def test_without_instances_there_is_nothing_to_cut() -> None:
    prediction = Prediction(2, 2, 2, 2, semantic=np.zeros((2, 2), np.uint8))
    assert prediction.with_scores_from(0.5) is prediction
