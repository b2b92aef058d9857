# SPDX-License-Identifier: Apache-2.0
"""Everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cast_train.engine.checkpoint import LAST, holds_run, load_newest
from cast_train.engine.ema import MovingAverage
from cast_train.engine.judging import Progress
from cast_train.engine.task import Task
from cast_train.errors import TrainingError
from cast_train.ranks import from_first_rank

# Keys of a recipe that decide no weight: how a run proceeds, and how it and its student are told of. A stage that
# several recipes share goes on under whichever comes next.
UNDECISIVE = ('run', 'learned_from', 'name', 'version', 'license')


@dataclass
class RunState:
    """A run between two steps.

    There is no random state in it: the draws of a step follow from the seed and the step (``ranks.seed_step``), and so
    do its batch and its learning rate.

    Attributes:
        task: with the weights as they are.
        optimizer: of the task.
        average: of the network's weights.
        progress: of the judgements.
        identity: the document that a resumed run must agree with.
        step: number of steps done.
        nonfinite: steps in a row, up to now, that were skipped.
    """

    task: Task[Any, Any]
    optimizer: torch.optim.Optimizer
    average: MovingAverage[Any]
    progress: Progress
    identity: Mapping[str, Any]
    step: int = 0
    nonfinite: int = 0

    def document(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            'recipe': dict(self.identity),
            'step': self.step,
            'network': self.task.network.state_dict(),
            'task': self.task.companions(),
            'optimizer': self.optimizer.state_dict(),
            'ema': self.average.network.state_dict(),
            'ema_updates': self.average.updates,
            'progress': self.progress.state(),
            'nonfinite': self.nonfinite,
            'saved': time.time(),
        }

    def restore(self, run: Path, resume: bool) -> str:
        """Go on from the newest good checkpoint in ``run`` if there is one; returns a warning, or nothing.

        Raises:
            TrainingError: there is a run and ``resume`` is off, or it was made by another recipe or task.
        """
        path = run / LAST
        found = from_first_rank(lambda: _read(run, resume))
        if found is None:
            return ''
        state, warning = found
        changed = changed_keys(state['recipe'], self.identity)
        if changed:
            raise TrainingError(
                f'{path}: was made with other values of {", ".join(changed)}; use the same recipe, or another --out'
            )
        try:
            self.task.network.load_state_dict(state['network'])
            self.task.load_state_dict({**self.task.state_dict(), **state['task']})
            self.optimizer.load_state_dict(state['optimizer'])
            self.average.network.load_state_dict(state['ema'])
            self.average.updates = state['ema_updates']
            self.progress.load(state['progress'])
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f'{path}: does not fit what is to be trained ({error}); it was made by another version or '
                'method: finish it with that one, or start anew with another --out'
            ) from error
        self.step, self.nonfinite = int(state['step']), int(state['nonfinite'])
        return warning


def _read(run: Path, resume: bool) -> tuple[dict[str, Any], str] | None:
    if not holds_run(run):
        return None
    if not resume:
        raise TrainingError(
            f'{run / LAST}: this folder already holds a run; go on with --resume, or choose another --out'
        )
    return load_newest(run)


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Top-level keys in which two recipes differ; what decides no weight (``UNDECISIVE``, and where data lies) may."""

    def relevant(document: Mapping[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in document.items() if key not in UNDECISIVE}
        if isinstance(kept.get('data'), Mapping):
            kept['data'] = {key: value for key, value in kept['data'].items() if key not in ('root', 'in_memory')}
        return kept

    before, after = relevant(old), relevant(new)
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
