# SPDX-License-Identifier: Apache-2.0
"""Numbers stay with instances, end with jumps of time, and never mix classes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cast_ros import tracking as module
from cast_ros.errors import TrackingError
from cast_ros.tracking import MEMORY_S, InstanceTracker

pytest.importorskip('trackers', reason="needs the extra 'tracking'")

CAR, PERSON = 3, 2
SECOND = 1_000_000_000


def boxes_at(*lefts: float) -> np.ndarray:
    return np.array([(left, 10, left + 20, 30) for left in lefts], np.float32).reshape(-1, 4)


def drive(tracker: InstanceTracker, stamp_s: float, lefts: list[float], labels: list[int] | None = None) -> list[int]:
    rows = len(lefts)
    return tracker.update(
        round(stamp_s * SECOND), boxes_at(*lefts), np.array(labels or [CAR] * rows, np.int64), np.full(rows, 0.6)
    ).tolist()


def test_a_number_stays_with_its_instance_whatever_the_order_of_the_rows() -> None:
    tracker = InstanceTracker()
    assert drive(tracker, 0.0, [0, 100]) == [65535, 65534]
    first, second = drive(tracker, 0.1, [2, 101])
    assert (first, second) == (1, 2)
    assert drive(tracker, 0.2, [102, 4]) == [second, first]
    assert drive(tracker, 0.3, [103, 6, 300]) == [second, first, 65533]
    assert drive(tracker, 0.4, [301, 104, 8]) == [3, second, first]


def test_an_instance_that_was_hidden_for_a_moment_gets_its_number_back() -> None:
    tracker = InstanceTracker()
    drive(tracker, 0.0, [0])
    assert drive(tracker, 0.1, [0]) == [1]
    assert drive(tracker, 0.2, []) == []
    assert drive(tracker, 0.1 + 0.8 * MEMORY_S, [0]) == [1]


def test_one_that_was_away_for_longer_is_another() -> None:
    tracker = InstanceTracker()
    for tenth in range(2):
        drive(tracker, tenth / 10, [0])
    for tenth in range(2, 14):
        drive(tracker, tenth / 10, [])
    assert drive(tracker, 1.4, [0]) == [65535]
    assert drive(tracker, 1.5, [0]) == [2]


def test_a_class_does_not_take_over_the_track_of_another() -> None:
    tracker = InstanceTracker()
    drive(tracker, 0.0, [0, 0], [CAR, PERSON])
    car, person = drive(tracker, 0.1, [0, 0], [CAR, PERSON])
    assert car != person
    assert drive(tracker, 0.2, [0], [PERSON]) == [person]
    assert drive(tracker, 0.3, [0, 0], [PERSON, CAR]) == [person, car]


@pytest.mark.parametrize('jump_s', [-5.0, 5.0])
def test_a_jump_of_time_ends_every_track_and_gives_no_number_twice(jump_s: float) -> None:
    tracker = InstanceTracker()
    for tenth in range(3):
        drive(tracker, 10 + tenth / 10, [0])
    assert drive(tracker, 10.2 + jump_s, [0]) == [65535]
    assert tracker.resets == 1
    assert drive(tracker, 10.3 + jump_s, [0]) == [2]


def test_stamps_that_stand_still_are_followed_all_the_same() -> None:
    tracker = InstanceTracker()
    drive(tracker, 0.0, [0])
    assert [drive(tracker, 0.0, [shift])[0] for shift in (1, 2, 3)] == [1, 1, 1]
    assert tracker.resets == 0


def test_numbers_begin_again_before_they_outgrow_the_picture_of_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'LARGEST_NUMBER', 3)
    tracker = InstanceTracker()
    drive(tracker, 0.0, [0])
    seen = []
    for number in range(1, 5):
        # One stays; every other picture a new one comes beside it, and goes.
        drive(tracker, 0.7 * number - 0.35, [0, 1000 * number])
        seen.append(drive(tracker, 0.7 * number, [0, 1000 * number]))
    assert [stays for stays, _ in seen] == [1, 1, 1, 1]
    assert [comes for _, comes in seen] == [2, 3, 2, 3]


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'trackers', None)
    with pytest.raises(TrackingError, match=r'pip install ".*\[tracking\]", then pip install --no-deps trackers'):
        InstanceTracker()
