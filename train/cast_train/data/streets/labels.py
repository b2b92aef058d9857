# SPDX-License-Identifier: Apache-2.0
"""From rendered passes to the label pictures of the benchmark."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cast_train.data.streets.dataset import CLASSES, LABEL_IDS, SKY_CM, THING_LABELS
from cast_train.data.streets.scene import SURFACES

MIN_THING_PIXELS = 12  # fewer pixels of a thing stay part of its class, without a number
FARTHEST_M = 600

CLASS_OF_SURFACE = {name: 'traffic sign' if name == 'sign' else name for name in SURFACES}
_LABEL_OF_CLASS = {entry.name: label for entry, label in zip(CLASSES, LABEL_IDS, strict=True)}
LABEL_OF_SURFACE = np.array([_LABEL_OF_CLASS[CLASS_OF_SURFACE[name]] for name in SURFACES], np.uint8)


def encode_labels(
    surface: npt.NDArray[np.int64], thing: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Encode H×W surface indices and thing numbers as Cityscapes labelIds and instanceIds.

    The k-th thing of a label, in the order of thing numbers, gets ``labelId * 1000 + k``.
    """
    labels = LABEL_OF_SURFACE[surface]
    codes = labels.astype(np.uint16)
    counts = dict.fromkeys(THING_LABELS, 0)
    for number in np.unique(thing[thing > 0]):
        pixels = thing == number
        for label in THING_LABELS:
            part = pixels & (labels == label)
            if part.sum() >= MIN_THING_PIXELS:
                codes[part] = label * 1000 + counts[label]
                counts[label] += 1
    return labels, codes


def encode_depth(depth_m: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Encode metres as centimetres; beyond 600 m is sky (65535)."""
    centimetres = np.clip(np.round(depth_m * 100), 0, SKY_CM - 1)
    return np.where(depth_m > FARTHEST_M, SKY_CM, centimetres).astype(np.uint16)
