# SPDX-License-Identifier: Apache-2.0
"""What an adaptation takes from the target's pictures: what teachers say of them, their colours, their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path

import torch
from torch import Tensor, nn

from cast_ros.student import InputGeometry, InputSpec
from cast_train.data import Batch, Changed, Sample
from cast_train.engine.checkpoint import load_checkpoint, save_checkpoint
from cast_train.engine.trained import load_student, weights_in
from cast_train.teachers.cache import LabelCache
from cast_train.teachers.labelling import read_label
from cast_train.teachers.network import to_batch


def unlabelled(samples: Sequence[Sample], caches: Sequence[LabelCache]) -> Sequence[Sample]:
    """Samples without their labels, with a teacher's segments, depth or disparity, put together when asked for.

    Args:
        samples: of the target.
        caches: of each teacher, which has labelled all of them.

    Raises:
        TeacherError: on access: a teacher's answer is missing or damaged.
    """
    return Changed(samples, partial(_unlabelled, tuple(caches)))


def _unlabelled(caches: tuple[LabelCache, ...], sample: Sample) -> Sample:
    bare = Sample(sample.name, sample.image, fx_px=sample.fx_px, domain=sample.domain)
    return reduce(_with_answer, caches, bare)


def _with_answer(sample: Sample, cache: LabelCache) -> Sample:
    answer = read_label(cache, sample)
    if answer.segments is not None:
        return replace(sample, segments=answer.segments)
    return replace(sample, depth_m=answer.depth_m, disparity=answer.disparity)


NORM_BATCH = 8
# Evenly spread over what there is.
MOST_PICTURES = 128


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Its batch norms, in a fixed order."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def measure_norms(network: nn.Module, spec: InputSpec, samples: Sequence[Sample]) -> None:
    """Give a network's norms the statistics of one domain's pictures (AdaBN: Li et al., arXiv 1603.04779).

    They are seen as its exported file will see them, whole and unchanged.
    """
    momenta = [norm.momentum for norm in norms_of(network)]
    network.eval()
    for norm in norms_of(network):
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    chosen = samples[:: -(-len(samples) // MOST_PICTURES)]
    for first in range(0, len(chosen), NORM_BATCH):
        images = [sample.image for sample in chosen[first : first + NORM_BATCH]]
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


# Grey levels, squared, added to every variance: a picture of one colour has no covariance to be undone.
LEAST_VARIANCE = 1.0


def in_target_colours(batch: Batch) -> Batch:
    """The same batch; each labelled picture has the colours of one of the others, in its strong view as well.

    Leaves of a rendered summer turn the grey and brown of a filmed winter.

    Args:
        batch: with pictures of the target behind the labelled ones.
    """
    labelled = batch.labelled
    rows = torch.arange(labelled, device=batch.images.device) % (len(batch.images) - labelled) + labelled

    def moved(images: Tensor | None) -> Tensor | None:
        return None if images is None else torch.cat([transfer(images[:labelled], images[rows]), images[labelled:]])

    images = moved(batch.images)
    assert images is not None
    return replace(batch, images=images, strong=moved(batch.strong))


def transfer(images: Tensor, models: Tensor) -> Tensor:
    """B×3×H×W uint8 pictures with mean and covariance of the colours of B×3×h×w ``models``, cut to 0 to 255.

    Of all linear maps that do so, the one that moves colours least: the linear Monge-Kantorovich transfer (Pitié and
    Kokaram, 2007).
    """
    mean, covariance = _statistics(images)
    wanted_mean, wanted = _statistics(models)
    root = _root(covariance)
    inverse = torch.linalg.inv(root)
    linear = inverse @ _root(root @ wanted @ root) @ inverse
    colours: Tensor = linear @ (images.flatten(2).double() - mean) + wanted_mean
    return colours.round().clamp(0, 255).to(torch.uint8).view_as(images)


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """B×3×1 means and B×3×3 covariances of B×3×H×W pictures."""
    colours = images.flatten(2).double()
    mean = colours.mean(-1, keepdim=True)
    spread = colours - mean
    least = LEAST_VARIANCE * torch.eye(3, dtype=colours.dtype, device=colours.device)
    return mean, spread @ spread.mT / spread.shape[-1] + least


def _root(matrices: Tensor) -> Tensor:
    """Square roots of B×3×3 symmetric positive matrices."""
    values, vectors = torch.linalg.eigh(matrices)
    roots: Tensor = vectors @ torch.diag_embed(values.clamp(min=0).sqrt()) @ vectors.mT
    return roots
