# SPDX-License-Identifier: Apache-2.0
"""When a run has learned enough."""

from __future__ import annotations

import json

import pytest

from cast_train.engine.judging import EarlyStop, Progress
from cast_train.errors import TrainingError


def bests(values: list[float], window: int, patience: int = 100) -> list[int]:
    """The judgements that were the best when they came."""
    progress = Progress(EarlyStop('ap', patience, window))
    return [place for place, value in enumerate(values) if progress.note(place, {'ap': value})]


def test_without_a_window_every_rise_is_the_best_so_far() -> None:
    assert bests([0.1, 0.3, 0.2, 0.3, 0.4], window=1) == [0, 1, 4]


def test_a_lucky_judgement_is_not_the_best_of_a_window() -> None:
    # Means of three from the third on: 0.3, 0.33, 0.37, 0.3; alone, 0.5 would have ended it at the third.
    assert bests([0.2, 0.2, 0.5, 0.3, 0.3, 0.3], window=3) == [0, 1, 2, 3, 4]
    # The first two have no full window and set no mark for those that have: 0.4, 0.2, 0.3, 0.43.
    assert bests([0.9, 0.1, 0.2, 0.3, 0.4, 0.6], window=3) == [0, 1, 2, 5]


def test_it_is_over_when_patience_has_run_out_and_goes_on_after_a_resume() -> None:
    rule = EarlyStop('ap', 2, 2)
    straight, resumed = Progress(rule), Progress(rule)
    for step, value in enumerate([0.1, 0.3, 0.2, 0.1, 0.1]):
        fresh = Progress(rule)
        fresh.load(json.loads(json.dumps(resumed.state())))
        assert fresh.note(step, {'ap': value}) == straight.note(step, {'ap': value})
        resumed = fresh
        assert resumed == straight
    assert straight.best == {'ap': 0.2}
    assert straight.is_over


def test_without_a_rule_nothing_is_best_and_nothing_ends() -> None:
    progress = Progress(None)
    assert not progress.note(1, {'ap': 0.5})
    assert not progress.is_over


def test_a_metric_that_was_not_measured_is_named() -> None:
    with pytest.raises(TrainingError, match="waits for 'ap', but only miou was measured"):
        Progress(EarlyStop('ap', 2)).note(1, {'miou': 0.5})
