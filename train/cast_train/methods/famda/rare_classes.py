# SPDX-License-Identifier: Apache-2.0
"""Rare-class sampling: pictures with rare classes come more often (DAFormer, papers.md §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cast_ros.student import UNLABELLED
from cast_train.data.sample import Sample
from cast_train.errors import DataError


def rare_class_chances(
    samples: Sequence[Sample], classes: int, temperature: float, least_share: float
) -> npt.NDArray[np.float64]:
    """The chance of each sample when a class is drawn first, P(c) = softmax((1 − f_c) / T), and then one that has it.

    Every sample keeps a small chance through its common classes. DAFormer also crops again until the class is in the
    view; here the view is left to chance.

    Args:
        samples: with semantic maps.
        classes: number of classes.
        temperature: T; small ones prefer the rarest class.
        least_share: a picture has a class from this share of its pixels on.

    Returns:
        (N,) chances that add up to one.

    Raises:
        DataError: a sample has no semantic map, or none has a labelled pixel.
    """
    shares = np.zeros((len(samples), classes))
    for row, sample in enumerate(samples):
        if sample.semantic is None:
            raise DataError(f'{sample.name}: rare-class sampling needs semantic maps; switch it off for this data set')
        known = sample.semantic[sample.semantic != UNLABELLED]
        shares[row] = np.bincount(known, minlength=classes)[:classes] / sample.semantic.size
    frequency = shares.sum(0) / max(shares.sum(), 1e-12)
    has = shares >= least_share
    present = has.any(0)
    if not present.any():
        raise DataError('no picture has a class that fills enough of it; lower the least share of rare-class sampling')
    logits = np.where(present, (1 - frequency) / temperature, -np.inf)
    chance_of_class = np.exp(logits - logits.max())
    chance_of_class /= chance_of_class.sum()
    chances: npt.NDArray[np.float64] = (has / np.maximum(has.sum(0), 1)) @ chance_of_class
    normalised: npt.NDArray[np.float64] = chances / chances.sum()
    return normalised
