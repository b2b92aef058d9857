# SPDX-License-Identifier: Apache-2.0
"""What every teacher offers: labels for pictures that nobody labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """A teacher's answer for one picture of H×W pixels.

    Attributes:
        height: H.
        width: W.
        labels: (N,) int64 class ids of things, best score first.
        scores: (N,) float32 in 0…1.
        soft_masks: N×h×w uint8, 255 means certain; the grid spans the whole picture and may be coarser than it.
        semantic: H×W uint8 class ids, 255 unlabelled; None if the teacher has no such answer.
        depth_m: H×W float32 metres for this picture's own camera, NaN unknown, +Inf sky; None as above.
    """

    height: int
    width: int
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    soft_masks: npt.NDArray[np.uint8]
    semantic: npt.NDArray[np.uint8] | None = None
    depth_m: npt.NDArray[np.float32] | None = None


class Teacher(Protocol):
    """A source of pseudo-labels."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of weights and settings: the same fingerprint gives the same labels."""

    def label(self, images: Sequence[npt.NDArray[np.uint8]], fx_px: Sequence[float | None]) -> list[PseudoLabels]:
        """Label H×W×3 RGB pictures; ``fx_px`` is the focal length of each in its own pixels, None if unknown."""
