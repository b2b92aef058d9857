# SPDX-License-Identifier: Apache-2.0
"""The processes that train together: who this one is, and its random draws."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import distributed


def rank_and_world() -> tuple[int, int]:
    """Number of this process, and how many train together; (0, 1) for one alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def seed_step(seed: int, step: int) -> None:
    """Seed all generators for one step of one process: a run needs no random state to go on with its next step."""
    entropy = np.random.SeedSequence([seed, step, rank_and_world()[0]]).generate_state(3)
    torch.manual_seed(int(entropy[0]))
    np.random.seed(int(entropy[1]))
    random.seed(int(entropy[2]))
