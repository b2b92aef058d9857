# SPDX-License-Identifier: Apache-2.0
"""What a finished training left in its folder: weights, their number, and how long it took."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from cast_train.engine.checkpoint import BEST, LAST
from cast_train.methods.stages import LOG


def weights_in(folder: Path) -> Path:
    """The checkpoint that a finished run stands for: the best one if it stopped early."""
    best = folder / BEST
    return best if best.is_file() else folder / LAST


def millions(network: torch.nn.Module) -> float:
    """Millions of parameters."""
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def seconds_in(folder: Path) -> float:
    """Seconds that the steps in a run's log took; steps that a kill made it repeat count once."""
    spent: dict[int, float] = {}
    log = folder / LOG
    for line in log.read_text().splitlines() if log.is_file() else []:
        record = json.loads(line)
        if 'seconds' in record:
            spent[record['step']] = record['seconds']
    return round(sum(spent.values()), 1)
