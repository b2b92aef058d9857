# SPDX-License-Identifier: Apache-2.0
"""When a run has learned enough: early stop on one metric."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cast_train.errors import TrainingError

STATE = ('best', 'best_mean', 'since_best', 'judged_at', 'recent')


@dataclass(frozen=True)
class EarlyStop:
    """Stop once ``metric`` (larger is better) has not risen for ``patience`` judgements; the best weights are kept.

    Attributes:
        metric: its name.
        patience: judgements without a better one.
        window: the mean of so many judgements in a row counts: what a few pictures say moves from one to the next by
            more than the weights do. Until there are so many the latest is the best.
    """

    metric: str
    patience: int
    window: int = 1


@dataclass
class Progress:
    """What the judgements of a run have said so far.

    Attributes:
        rule: when to stop; None never stops early.
        best: the metrics of the best judgement.
        best_mean: of the rule's metric over the window that ended there.
        since_best: judgements since then.
        judged_at: step of the last judgement; 0 before the first.
        recent: the rule's metric at the last judgements, as many as its window.
    """

    rule: EarlyStop | None
    best: dict[str, float] = field(default_factory=dict)
    best_mean: float = -math.inf
    since_best: int = 0
    judged_at: int = 0
    recent: list[float] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        return self.rule is not None and self.since_best >= self.rule.patience

    def note(self, step: int, metrics: dict[str, float]) -> bool:
        """Take in a judgement; returns whether it is the best so far.

        Raises:
            TrainingError: the metric of the rule was not measured.
        """
        self.judged_at = step
        if self.rule is None:
            return False
        if self.rule.metric not in metrics:
            raise TrainingError(
                f'early stop waits for {self.rule.metric!r}, but only {", ".join(sorted(metrics)) or "nothing"} was '
                f'measured; choose one of them, or give the validation part the labels that it needs'
            )
        had_window = len(self.recent) == self.rule.window
        self.recent = [*self.recent, metrics[self.rule.metric]][-self.rule.window :]
        mean = math.fsum(self.recent) / len(self.recent)
        if not had_window or mean > self.best_mean:
            self.best, self.best_mean, self.since_best = dict(metrics), mean, 0
            return True
        self.since_best += 1
        return False

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {name: getattr(self, name) for name in STATE}

    def load(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        for name in STATE:
            setattr(self, name, state[name])
