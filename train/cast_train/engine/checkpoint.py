# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that survive a kill: written beside, flushed to disk, then renamed over the old one."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from cast_train.errors import TrainingError


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Replace ``path`` by ``state`` atomically.

    Raises:
        TrainingError: the disk is full or not writable; the previous checkpoint is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.tmp')
    try:
        with temporary.open('wb') as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
        temporary.unlink(missing_ok=True)
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
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise TrainingError(f'{path}: cannot be read as a checkpoint ({error}); use an older one') from error
    if not isinstance(state, dict) or 'recipe' not in state or 'ema' not in state:
        raise TrainingError(f'{path}: is not a checkpoint of cast-train; it has no recipe and weights')
    return state


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
