# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that survive a kill: written beside, flushed to disk, then renamed; the previous good one is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cast_ros.files import replacing
from cast_train.errors import UNREADABLE, TrainingError

LAST = 'last.pt'
PREVIOUS = 'previous.pt'
BEST = 'best.pt'
BROKEN = 'broken.pt'


def save_checkpoint(state: dict[str, Any], path: Path, keep: Path | None = None) -> None:
    """Replace ``path`` by ``state`` atomically; what was there goes to ``keep`` if that is given.

    Raises:
        TrainingError: the disk is full or not writable; the previous checkpoint is untouched.
    """
    try:
        with replacing(path, keep) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
        raise TrainingError(
            f'{path}: cannot write the checkpoint ({error}); the last good one is kept, free some space'
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are ever unpickled.

    Raises:
        TrainingError: missing, truncated, or not a checkpoint of ours.
    """
    if not path.is_file():
        raise TrainingError(f'{path}: no such checkpoint; train first, or name the run folder that holds it')
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except UNREADABLE as error:
        raise TrainingError(f'{path}: cannot be read as a checkpoint ({error}); use an older one') from error
    if not isinstance(state, dict) or 'recipe' not in state or 'ema' not in state:
        raise TrainingError(f'{path}: is not a checkpoint of cast-train; it has no recipe and weights')
    return state


def holds_run(run: Path) -> bool:
    """Whether a folder holds a run that could go on."""
    return (run / LAST).is_file() or (run / PREVIOUS).is_file()


def load_newest(run: Path) -> tuple[dict[str, Any], str]:
    """Read the newest good checkpoint of a run, and a warning if that is not the newest one.

    A newest one that cannot be read is put aside, so that it never takes the place of the good one.

    Raises:
        TrainingError: none is good.
    """
    last, previous = run / LAST, run / PREVIOUS
    try:
        return load_checkpoint(last), ''
    except TrainingError as error:
        if not previous.is_file():
            raise
        state = load_checkpoint(previous)
        if last.is_file():
            last.replace(run / BROKEN)
        return state, f'Warning: {error}; going on from {previous}, step {state["step"]}'
