# SPDX-License-Identifier: Apache-2.0
"""Batch norms with the statistics of one domain's pictures (AdaBN: Li et al., arXiv 1603.04779)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cast_ros.student import InputGeometry, InputSpec
from cast_train.data import Sample
from cast_train.engine.checkpoint import load_checkpoint, save_checkpoint
from cast_train.export.checkpoint import load_student
from cast_train.methods.trained import weights_in
from cast_train.teachers.network import to_batch

BATCH = 8
# Evenly spread over what there is.
MOST_PICTURES = 128


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Its batch norms, in a fixed order."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def measure_norms(network: nn.Module, spec: InputSpec, samples: Sequence[Sample]) -> None:
    """Give a network's norms the statistics of pictures as its exported file will see them, whole and unchanged."""
    momenta = [norm.momentum for norm in norms_of(network)]
    network.eval()
    for norm in norms_of(network):
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    chosen = samples[:: -(-len(samples) // MOST_PICTURES)]
    for first in range(0, len(chosen), BATCH):
        images = [sample.image for sample in chosen[first : first + BATCH]]
        geometries = [InputGeometry.for_image(image.shape[0], image.shape[1], spec) for image in images]
        network(to_batch(images, geometries, network))
    network.eval()
    for norm, momentum in zip(norms_of(network), momenta, strict=True):
        norm.momentum = momentum


def measure_norms_in(folder: Path, samples: Sequence[Sample], root: Path | None = None) -> None:
    """Do so with the averaged weights that a finished run stands for; doing it twice changes nothing.

    ``root`` is the folder of the run's data set, when it may have moved since training.

    Raises:
        TrainingError: the folder holds no run, or cannot be written; its checkpoint is then as before.
    """
    path = weights_in(folder)
    student = load_student(path, root)[0]
    measure_norms(student.network, student.contract.input, samples)
    save_checkpoint({**load_checkpoint(path), 'ema': student.network.state_dict()}, path)
