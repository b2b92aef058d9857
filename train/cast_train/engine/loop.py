# SPDX-License-Identifier: Apache-2.0
"""The training loop of every method: one step after another, averaged, judged, saved, resumable at any step."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from cast_train.engine.checkpoint import BEST, LAST, PREVIOUS, save_checkpoint
from cast_train.engine.ema import MovingAverage
from cast_train.engine.judging import EarlyStop, Progress
from cast_train.engine.logging import Log, RunLog
from cast_train.engine.norms import share_norms
from cast_train.engine.recipe import Plan
from cast_train.engine.run_state import RunState
from cast_train.engine.step import Losses, save_snapshot, train_step
from cast_train.engine.task import AnyBatch, Given, Network, Task
from cast_train.engine.trained import millions
from cast_train.errors import TrainingError
from cast_train.ranks import from_first_rank, largest_over_ranks, rank_and_world


def start_fabric(accelerator: str = 'auto') -> Fabric:
    """Join the other processes of ``torchrun``, or be alone; may be called again.

    Alone on the ``accelerator``; else a GPU of its own for each process, or the CPU with gloo.
    """
    world = int(os.environ.get('WORLD_SIZE', '1'))
    if world == 1:
        return Fabric(accelerator=accelerator, devices=1)
    local = int(os.environ.get('LOCAL_WORLD_SIZE', str(world)))
    accelerator = 'cuda' if torch.cuda.device_count() >= local else 'cpu'
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=world // local,
        # Norms agree by themselves (engine.norms); heads that a batch has no labels for get no gradient.
        strategy=DDPStrategy(find_unused_parameters=True, broadcast_buffers=False),
    )
    fabric.launch()
    return fabric


def check_parts(plan: Plan, world: int) -> None:
    """See that every batch of a plan divides evenly.

    Raises:
        TrainingError: it does not.
    """
    parts = world * plan.run.accumulate
    for number, phase in enumerate(plan.phases):
        if phase.batch % parts:
            raise TrainingError(
                f'phases.{number}.batch is {phase.batch}, which {world} process(es) in {plan.run.accumulate} part(s) '
                f'cannot share evenly; make it a multiple of {parts}'
            )


class StoppedError(TrainingError):
    """A signal ended the run between two steps; its checkpoint is written."""

    def __init__(self, number: int, where: str) -> None:
        name = signal.Signals(number).name
        super().__init__(f'{where} on {name}; the checkpoint is written, go on with the same command and --resume')
        self.exit_code = 128 + number


class StopSignals:
    """Notes SIGTERM and SIGINT instead of dying of them; a second one acts at once. Use as a context manager.

    Attributes:
        received: the signal, or 0.
    """

    def __init__(self) -> None:
        self.received = 0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                former = signal.getsignal(number)
                # Ignored on purpose, as a shell does for what it starts in the background: leave it so.
                if former is not signal.SIG_IGN:
                    self._former[number] = former
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._give_back()

    def _give_back(self) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former = {}


Judge = Callable[[Network], dict[str, float]]


def train(
    task: Task[Network, Given],
    plan: Plan,
    stream: Callable[[int], Iterator[Given]],
    run: Path,
    judge: Judge[Network] | None = None,
    resume: bool = False,
    identity: Mapping[str, Any] | None = None,
    early_stop: EarlyStop | None = None,
    note: str = '',
    accelerator: str = 'auto',
) -> dict[str, float]:
    """Train ``task.network`` in place; the run folder ends up with ``last.pt``, ``log.jsonl`` and TensorBoard events.

    Under ``torchrun`` every process calls it alike; the first one judges, logs and writes.

    Args:
        task: what to train; its first weights must follow from the recipe, or a resumed run is another one.
        plan: how.
        stream: yields the batches from a given step on, to the end of the plan.
        run: output folder.
        judge: measures the averaged network, every ``evaluate_every`` steps and at the end.
        resume: go on from the checkpoint in the folder; otherwise it must not hold one.
        identity: the document that a resumed run must agree with, stored as ``recipe`` in the checkpoint. A folder
            that `evaluate` and `export` are to open needs a whole ``Recipe`` here. The plan by default.
        early_stop: when to stop before the end; ``best.pt`` then holds the best judged weights.
        note: a sentence for the log.
        accelerator: ``cpu`` or ``cuda``, for one process; by default the best there is.

    Returns:
        What ``judge`` said of the averaged weights at the end; with ``early_stop``, of the best ones.

    Raises:
        TrainingError: the folder holds another run, training diverged, or (``StoppedError``) a signal ended it.
    """
    torch.set_num_threads(plan.run.threads)
    fabric = start_fabric(accelerator)
    rank, world = rank_and_world()
    check_parts(plan, world)
    if task.channels_last:
        task = task.to(memory_format=torch.channels_last)
    if plan.run.precision == 'float64':
        task = task.double()
    if world > 1:
        share_norms(task)
    module = cast(nn.Module, fabric.setup_module(task))
    state = RunState(
        task,
        task.make_optimizer(plan.optimizer),
        MovingAverage(task.network, plan.optimizer.ema_decay),
        Progress(early_stop),
        plan.model_dump(mode='json') if identity is None else identity,
    )
    warning = state.restore(run, resume)
    log = RunLog(run, plan, state.identity, state.step) if rank == 0 else Log()
    with log, StopSignals() as signals:
        if warning:
            log.say(warning)
        where = fabric.device.type if world == 1 else f'{world} processes on {fabric.device.type}'
        size = f'{millions(task.network):.2f} M parameters'
        log.say(f'{note or plan.name}: {size}, step {state.step} of {plan.total_steps}, {where}')
        course = _Course(fabric, module, state, plan, run, judge, log, signals)
        if not state.progress.is_over:
            course.run_to_end(stream)
        if judge is None:
            return {}
        if early_stop is not None:
            return state.progress.best
        return course.judged()


@dataclass
class _Course:
    """What the steps of one run need; see ``train``."""

    fabric: Fabric
    module: nn.Module
    state: RunState
    plan: Plan
    run: Path
    judge: Judge[Any] | None
    log: Log
    signals: StopSignals

    def run_to_end(self, stream: Callable[[int], Iterator[AnyBatch]]) -> None:
        """All steps that are left, from the one after the checkpoint on."""
        state, total_steps = self.state, self.plan.total_steps
        batches = stream(state.step)
        while state.step < total_steps and not state.progress.is_over:
            self._step(batches)
            if self._is_judged():
                self._note(self.judged())
            stop = largest_over_ranks(self.signals.received)
            is_end = state.step == total_steps or state.progress.is_over or stop
            if is_end or state.step % self.plan.run.checkpoint_every == 0:
                self._save(LAST)
            if stop:
                raise StoppedError(stop, f'{self.run}: stopped after step {state.step} of {total_steps}')
        if state.progress.is_over:
            self.log.say(f'step {state.step}: {state.progress.since_best} judgements without a better one, stopped')

    def judged(self) -> dict[str, float]:
        """Judge the average on the first rank, and report."""
        judge = self.judge
        assert judge is not None
        metrics = from_first_rank(lambda: judge(self.state.average.network.eval()))
        self.log.evaluation(self.state.step, metrics)
        return metrics

    def _step(self, batches: Iterator[AnyBatch]) -> None:
        asked = time.perf_counter()
        batch = next(batches)
        started = time.perf_counter()
        step = self.state.step
        losses = train_step(self.fabric, self.module, self.state, batch, self.plan)
        ended = time.perf_counter()
        if self.state.nonfinite:
            self._warn(step, batch, losses)
        pictures = len(batch) * rank_and_world()[1]
        rate = self.state.optimizer.param_groups[-1]['lr']
        self.log.step(step, {} if self.state.nonfinite else losses, rate, pictures, started - asked, ended - started)
        self.log.observations(step, self.state.task.observations(step))

    def _warn(self, step: int, batch: AnyBatch, losses: Losses) -> None:
        """Say that a step was skipped, and end the run if too many were."""
        path = save_snapshot(self.run, step, batch, losses) if rank_and_world()[0] == 0 else self.run
        found = ', '.join(f'{name} {value:.4g}' for name, value in losses.items())
        count, limit = self.state.nonfinite, self.plan.run.nonfinite_limit
        if count >= limit:
            raise TrainingError(
                f'step {step}: loss or gradient is not finite for {count} step(s) in a row ({found}); look at '
                f'{path}, and start again with a lower learning_rate'
            )
        self.log.say(f'Warning: step {step} skipped, loss or gradient is not finite ({found}); its batch: {path}')

    def _is_judged(self) -> bool:
        """Whether to judge now; the end is judged here only where that may still give the best weights."""
        if self.judge is None:
            return False
        if self.state.step == self.plan.total_steps:
            return self.state.progress.rule is not None
        return self.state.step % self.plan.run.evaluate_every == 0

    def _note(self, metrics: dict[str, float]) -> None:
        if self.state.progress.note(self.state.step, metrics):
            self._save(BEST)

    def _save(self, name: str) -> None:
        if rank_and_world()[0] == 0:
            save_checkpoint(self.state.document(), self.run / name, self.run / PREVIOUS if name == LAST else None)
