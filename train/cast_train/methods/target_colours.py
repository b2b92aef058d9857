# SPDX-License-Identifier: Apache-2.0
"""Source pictures in the colours of target pictures: the linear Monge-Kantorovich transfer (Pitié and Kokaram, 2007).

Of all linear maps that give the colours of one picture mean and covariance of another's, it is the one that moves them
least: leaves of a rendered summer turn the grey and brown of a filmed winter.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cast_train.data import Batch

# Grey levels, squared, added to every variance: a picture of one colour has no covariance to be undone.
LEAST_VARIANCE = 1.0


def in_target_colours(batch: Batch) -> Batch:
    """The same batch; each labelled picture has the colours of one of the others, in its strong view as well.

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
    """B×3×H×W uint8 pictures with mean and covariance of the colours of B×3×h×w ``models``, cut to 0 to 255."""
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
