# SPDX-License-Identifier: Apache-2.0
"""Identity switches of short drives that fit in one line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cast_ros.errors import MetricError
from cast_ros.offline.metrics.frames import InstanceFrame
from cast_ros.offline.metrics.id_switches import IdSwitches, IdSwitchScores

CAR, PERSON = 3, 0


def frame(ids: Any, true_ids: Any, label: int = CAR, crowd: bool = False) -> InstanceFrame:
    rows, true_rows = int(np.max(ids)), int(np.max(true_ids))
    return InstanceFrame(
        np.array([ids]),
        np.full(rows, label),
        np.ones(rows),
        np.array([true_ids]),
        np.full(true_rows, CAR),
        np.full(true_rows, crowd),
    )


TWO = [1, 1, 1, 2, 2, 2]


def measure(*numbers: list[int], ids: Any = TWO, **options: Any) -> IdSwitchScores:
    metrics = IdSwitches((CAR, PERSON))
    for one in numbers:
        metrics.update(frame(ids, TWO, **options), np.array(one), np.array([71, 72]))
    return metrics.compute()


def test_steady_numbers_are_no_switch() -> None:
    scores = measure([4, 9], [4, 9], [4, 9])
    assert scores == IdSwitchScores(switches=0, matches=6, true_count=6, true_tracks=2, frames=3)


def test_each_instance_that_changes_its_number_counts() -> None:
    assert measure([4, 9], [4, 8]).switches == 1
    assert measure([4, 9], [9, 4]).switches == 2
    assert measure([4, 9], [5, 9], [4, 9]).switches == 2


def test_a_gap_hides_no_switch() -> None:
    """MOTA remembers the last number, however long ago; a row without a track matches nothing."""
    scores = measure([4, 9], [0, 9], [5, 9])
    assert (scores.switches, scores.matches) == (1, 5)
    assert measure([4, 9], [0, 9], [4, 9]).switches == 0


def test_too_little_overlap_or_another_class_is_no_match() -> None:
    assert measure([4], [5], ids=[1, 0, 0, 0, 0, 0]).matches == 0
    assert measure([4, 9], [5, 8], label=PERSON).matches == 0
    assert measure([4, 9], [5, 8], crowd=True).true_count == 0


def test_at_exactly_a_half_the_old_number_is_kept() -> None:
    metrics = IdSwitches((CAR,))
    halves = frame([1, 1, 2, 2], [1, 1, 1, 1])
    metrics.update(frame([0, 0, 1, 1], [1, 1, 1, 1]), np.array([8]), np.array([1]))
    metrics.update(halves, np.array([7, 8]), np.array([1]))
    assert metrics.compute().switches == 0
    metrics.update(halves, np.array([7, 6]), np.array([1]))
    assert metrics.compute().switches == 1


def test_a_true_number_that_comes_back_in_another_row_is_the_same_instance() -> None:
    metrics = IdSwitches((CAR,))
    metrics.update(frame(TWO, TWO), np.array([4, 9]), np.array([71, 72]))
    metrics.update(frame(TWO, TWO), np.array([9, 4]), np.array([72, 71]))
    assert metrics.compute().switches == 0


def test_an_empty_picture_is_a_picture() -> None:
    metrics = IdSwitches((CAR,))
    none = np.zeros(0, int)
    metrics.update(frame([0, 0], [0, 0]), none, none)
    scores = metrics.compute()
    assert json.loads(json.dumps(scores.as_dict())) == {
        'switches': 0, 'matches': 0, 'true_count': 0, 'true_tracks': 0, 'frames': 1
    }  # fmt: skip


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MetricError, match='no picture'):
        IdSwitches((CAR,)).compute()
    with pytest.raises(MetricError, match='no category'):
        IdSwitches(())
    with pytest.raises(MetricError, match='predicted numbers must be one integer a row'):
        measure([4])
    with pytest.raises(MetricError, match=r'predicted numbers of one picture must differ, are \[4, 4\]'):
        measure([4, 4])
    assert measure([0, 0]).matches == 0
    with pytest.raises(MetricError, match='true numbers must be one integer'):
        IdSwitches((CAR,)).update(frame(TWO, TWO), np.array([1, 2]), np.array([1.0, 2.0]))
