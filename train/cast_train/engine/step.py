# SPDX-License-Identifier: Apache-2.0
"""One step of training: the gradient of a batch, on one process or many, whole or in parts; then the update."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from cast_train.engine.checkpoint import save_checkpoint
from cast_train.engine.optimizer import set_learning_rate
from cast_train.engine.recipe import Plan
from cast_train.engine.run_state import RunState
from cast_train.engine.task import AnyBatch
from cast_train.ranks import CountLedger, counted_by, mean_over_ranks, seed_step

Losses = dict[str, float]


def train_step(fabric: Fabric, module: nn.Module, state: RunState, batch: AnyBatch, plan: Plan) -> Losses:
    """One update of weights and average, or none where loss or gradient is not finite.

    Args:
        fabric: of this process.
        module: the task, as Fabric wraps it.
        state: of the run, before the step.
        batch: this rank's part of it.
        plan: how to train.

    Returns:
        The terms over all ranks, their total and the norm of the gradient.
    """
    seed_step(plan.seed, state.step)
    set_learning_rate(state.optimizer, state.task.learning_rate(state.step, plan))
    buffers = [buffer.clone() for buffer in state.task.buffers()]
    state.optimizer.zero_grad(set_to_none=True)
    terms = backward(fabric, module, state.step, batch, plan)
    norm = nn.utils.clip_grad_norm_(state.task.parameters(), plan.optimizer.clip_norm)
    names = list(terms)
    # Where nothing was learned, its norm of 0 lies on the CPU.
    measured = torch.stack([value.to(fabric.device) for value in (*terms.values(), norm.detach())])
    values = mean_over_ranks(measured).tolist()
    losses = dict(zip([*names, 'gradient_norm'], values, strict=True)) | {'total': math.fsum(values[:-1])}
    if math.isfinite(losses['total']) and math.isfinite(losses['gradient_norm']):
        state.optimizer.step()
        state.average.update(state.task.network)
        state.task.after_step(state.step)
        state.nonfinite = 0
    else:
        # The statistics of the norms have seen the values too.
        for buffer, former in zip(state.task.buffers(), buffers, strict=True):
            buffer.copy_(former)
        state.nonfinite += 1
    state.step += 1
    return losses


def backward(fabric: Fabric, module: nn.Module, step: int, batch: AnyBatch, plan: Plan) -> dict[str, Tensor]:
    """Leave the gradient of the whole batch in the parameters, and return its terms on this rank."""
    task = module.train()
    parts = [part.to(fabric.device) for part in batch.parts(plan.run.accumulate)]
    ledger = CountLedger()
    if len(parts) > 1:
        _note_counts(fabric.device, task, parts, step, plan, ledger)
    sums: dict[str, Tensor] = {}
    for number, part in enumerate(parts):
        ledger.start_part(note=len(parts) == 1)
        with counted_by(ledger), fabric.no_backward_sync(cast(Any, task), enabled=number < len(parts) - 1):
            with _autocast(fabric.device, plan):
                terms: dict[str, Tensor] = task(part, step)
            total = torch.stack(list(terms.values())).sum() / len(parts)
            if total.requires_grad:
                fabric.backward(total)
        for name, value in terms.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach() / len(parts)
    return sums


def _note_counts(
    device: torch.device, task: nn.Module, parts: list[AnyBatch], step: int, plan: Plan, ledger: CountLedger
) -> None:
    """Ask every part for what its losses divide by; only then can each be weighted as in the whole batch.

    It costs another forward pass, of one part alone where losses divide by nothing; the statistics of the norms do not
    see it.
    """
    buffers = [buffer.clone() for buffer in task.buffers()]
    with torch.no_grad(), counted_by(ledger):
        for part in parts:
            ledger.start_part(note=True)
            with _autocast(device, plan):
                task(part, step)
            if ledger.is_empty:
                break
    for buffer, former in zip(task.buffers(), buffers, strict=True):
        buffer.copy_(former)
    seed_step(plan.seed, step)


def _autocast(device: torch.device, plan: Plan) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=plan.run.precision == 'bf16')


def save_snapshot(run: Path, step: int, batch: AnyBatch, losses: Losses) -> Path:
    """Write the batch of a step that was not finite, once in a run, and return the file.

    Raises:
        TrainingError: the disk is full or not writable.
    """
    path = next(iter(sorted(run.glob('nonfinite-*.pt'))), None)
    if path is None:
        path = run / f'nonfinite-{step}.pt'
        save_checkpoint({'step': step, 'losses': losses, **asdict(batch)}, path)
    return path
