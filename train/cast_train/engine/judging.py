# SPDX-License-Identifier: Apache-2.0
"""When a run has learned enough: early stop on one metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cast_train.errors import TrainingError


@dataclass(frozen=True)
class EarlyStop:
    """Stop once ``metric`` (larger is better) has not risen for ``patience`` judgements; the best weights are kept."""

    metric: str
    patience: int


@dataclass
class Progress:
    """What the judgements of a run have said so far.

    Attributes:
        rule: when to stop; None never stops early.
        best: the metrics of the best judgement.
        since_best: judgements since then.
        judged_at: step of the last judgement; 0 before the first.
    """

    rule: EarlyStop | None
    best: dict[str, float] = field(default_factory=dict)
    since_best: int = 0
    judged_at: int = 0

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
        if not self.best or metrics[self.rule.metric] > self.best[self.rule.metric]:
            self.best, self.since_best = dict(metrics), 0
            return True
        self.since_best += 1
        return False

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {'best': self.best, 'since_best': self.since_best, 'judged_at': self.judged_at}

    def load(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.best, self.since_best, self.judged_at = state['best'], state['since_best'], state['judged_at']
