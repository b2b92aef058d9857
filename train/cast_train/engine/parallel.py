# SPDX-License-Identifier: Apache-2.0
"""The device of this process, and the processes that torchrun started with it, by Lightning Fabric."""

from __future__ import annotations

import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from cast_train.engine.recipe import Plan
from cast_train.errors import TrainingError


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
