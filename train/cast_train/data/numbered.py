# SPDX-License-Identifier: Apache-2.0
"""Class and number of each pixel, in two pictures, turned into instances."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.offline.bags.ground_truth_topics import INSTANCES_PER_CLASS
from cast_ros.offline.evaluation.ground_truth import InstanceParts, decode_instances
from cast_train.errors import DataError


def instances_of(
    labels: npt.NDArray[Any],
    numbers: npt.NDArray[Any],
    class_ids: Mapping[int, int],
    thing_labels: Collection[int],
    path: Path,
) -> InstanceParts:
    """Pixels of a thing that share label and number are one instance; those with number 0 are a crowd.

    Args:
        labels: H×W, labels of the data set, from 0.
        numbers: H×W, whatever numbers the data set counts its objects with; looked at on things alone.
        class_ids: label to class id; other labels are unlabelled.
        thing_labels: labels of things, each over 0.
        path: of the picture of numbers, for the error.

    Raises:
        DataError: a picture has more objects than anything can have.
    """
    counted = np.isin(labels, list(thing_labels)) & (numbers > 0)
    found, ranks = np.unique(numbers[counted], return_inverse=True)
    if len(found) >= INSTANCES_PER_CLASS:
        raise DataError(f'{path}: holds {len(found)} objects, which cannot be; fetch the original, it was converted')
    codes = labels.astype(np.int32)
    codes[counted] = codes[counted] * INSTANCES_PER_CLASS + ranks.ravel() + 1
    return decode_instances(codes, class_ids, thing_labels)
