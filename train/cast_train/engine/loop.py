# SPDX-License-Identifier: Apache-2.0
"""The training loop of every method: one step after another, averaged, judged, saved, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cast_train.data import Batch
from cast_train.engine.checkpoint import save_checkpoint
from cast_train.engine.ema import MovingAverage
from cast_train.engine.judging import EarlyStop, Progress
from cast_train.engine.logging import RunLog
from cast_train.engine.optimizer import learning_rate_at, make_optimizer, set_learning_rate
from cast_train.engine.recipe import Plan
from cast_train.engine.run_state import BEST, LAST, RunState
from cast_train.engine.task import Task
from cast_train.errors import TrainingError
from cast_train.models import Student
from cast_train.ranks import seed_step

Judge = Callable[[Student], dict[str, float]]


def train(
    task: Task,
    plan: Plan,
    stream: Callable[[int], Iterator[Batch]],
    run: Path,
    judge: Judge | None = None,
    resume: bool = False,
    identity: Mapping[str, Any] | None = None,
    early_stop: EarlyStop | None = None,
    note: str = '',
) -> dict[str, float]:
    """Train ``task.student`` in place; the run folder ends up with ``last.pt``, ``log.jsonl`` and TensorBoard events.

    Args:
        task: what to train; its first weights must follow from the recipe, or a resumed run is another one.
        plan: how.
        stream: yields the batches from a given step on, to the end of the plan.
        run: output folder.
        judge: measures the averaged student, every ``evaluate_every`` steps and at the end.
        resume: go on from ``last.pt`` in the folder; otherwise it must not hold one.
        identity: the document that a resumed run must agree with, stored as ``recipe`` in the checkpoint. A folder
            that `evaluate` and `export` are to open needs a whole ``Recipe`` here. The plan by default.
        early_stop: when to stop before the end; ``best.pt`` then holds the best judged weights.
        note: a sentence for the log.

    Returns:
        What ``judge`` said of the averaged weights at the end; with ``early_stop``, of the best ones.

    Raises:
        TrainingError: the folder holds another run, or training diverged.
    """
    torch.set_num_threads(plan.run.threads)
    task = task.to(memory_format=torch.channels_last)
    state = RunState(
        task,
        make_optimizer(task, plan.optimizer),
        MovingAverage(task.student, plan.optimizer.ema_decay),
        Progress(early_stop),
        plan.model_dump(mode='json') if identity is None else identity,
    )
    state.restore(run / LAST, resume)
    with RunLog(run, plan, state.identity, state.step) as log:
        millions = sum(parameter.numel() for parameter in task.student.parameters()) / 1e6
        log.say(f'{note or plan.name}: {millions:.2f} M parameters, step {state.step} of {plan.total_steps}')
        if not state.progress.is_over:
            _run_steps(state, plan, stream(state.step), run, judge, log)
        if judge is None:
            return {}
        if early_stop is not None:
            return state.progress.best
        result = judge(state.average.network)
        log.evaluation(state.step, result)
    return result


def _run_steps(
    state: RunState, plan: Plan, batches: Iterator[Batch], run: Path, judge: Judge | None, log: RunLog
) -> None:
    for step in range(state.step, plan.total_steps):
        asked = time.perf_counter()
        batch = next(batches)
        started = time.perf_counter()
        losses = train_step(state, batch, plan, step)
        state.step = step + 1
        rate = state.optimizer.param_groups[-1]['lr']
        log.step(step, losses, rate, len(batch.images), started - asked, time.perf_counter() - started)
        is_last = state.step == plan.total_steps
        if judge is not None and _is_due(state, plan):
            metrics = judge(state.average.network)
            log.evaluation(state.step, metrics)
            if state.progress.note(state.step, metrics):
                save_checkpoint(state.document(), run / BEST)
        if state.step % plan.run.checkpoint_every == 0 or is_last or state.progress.is_over:
            save_checkpoint(state.document(), run / LAST)
        if state.progress.is_over:
            log.say(f'step {state.step}: no better judgement for {state.progress.since_best} times; stopped early')
            return


def _is_due(state: RunState, plan: Plan) -> bool:
    """Whether to judge now; the end is judged here only where that may still give the best weights."""
    if state.step == plan.total_steps:
        return state.progress.rule is not None
    return state.step % plan.run.evaluate_every == 0


def train_step(state: RunState, batch: Batch, plan: Plan, step: int) -> dict[str, float]:
    """One update of weights and average; returns the terms, their total and the gradient norm.

    Raises:
        TrainingError: the loss is not finite.
    """
    seed_step(plan.seed, step)
    set_learning_rate(state.optimizer, learning_rate_at(step, plan.optimizer, plan.total_steps))
    state.task.train()
    terms = state.task(batch, step)
    total = torch.stack(list(terms.values())).sum()
    if not math.isfinite(total.item()):
        found = {name: round(value.item(), 4) for name, value in terms.items()}
        raise TrainingError(f'step {step}: the loss is not finite ({found}); lower optimizer.learning_rate and resume')
    state.optimizer.zero_grad(set_to_none=True)
    total.backward()
    norm = nn.utils.clip_grad_norm_(state.task.parameters(), plan.optimizer.clip_norm)
    state.optimizer.step()
    state.average.update(state.task.student)
    state.task.after_step(step, state.average.network)
    return {
        **{name: value.item() for name, value in terms.items()},
        'total': total.item(),
        'gradient_norm': norm.item(),
    }
