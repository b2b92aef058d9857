# SPDX-License-Identifier: Apache-2.0
"""The unified objective of CAST, for any λ: J = L_sup(D_l) + λ_semi·L_semi(D_u) + λ_pxl·L_pxl(D_l ∪ D_u).

Each stage of CAST is a choice of λ and of what the batch holds (papers.md §1.1, §1.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from cast_train.data.augment import Targets
from cast_train.data.batches import Batch
from cast_train.losses.pixel_contrast import PixelContrast, pixel_contrast
from cast_train.models.student import StudentOutput


class Supervised(Protocol):
    """Weighted terms of what labels teach, true ones and pseudo-labels alike."""

    def __call__(self, output: StudentOutput, targets: Sequence[Targets], /) -> dict[str, Tensor]:
        """Return the terms for B pictures; B may be zero."""


class ContrastInputs(NamedTuple):
    """What L_pxl takes beside the student's output; see ``pixel_contrast``."""

    weak: Tensor
    strong: Tensor
    progress: float
    settings: PixelContrast


def objective(
    output: StudentOutput, batch: Batch, supervised: Supervised, semi: float, contrast: ContrastInputs | None
) -> dict[str, Tensor]:
    """Return the weighted terms of J; their sum is J.

    Terms of λ = 0 are left out. Whether a term is there depends on λ alone, not on what the batch holds: the parts of
    a batch that several processes share must all ask for the same counts (``cast_train.ranks``).

    Args:
        output: of the weak views of the whole batch.
        batch: labelled pictures first, then those with pseudo-labels, which L_semi takes for the truth.
        supervised: the loss of pictures with labels of either kind.
        semi: λ_semi.
        contrast: for the whole batch; λ_pxl is the weight in its settings. None switches it off.

    Returns:
        ``supervised_*``, ``semi_*`` and ``contrast``.
    """
    labelled, pictures = batch.labelled, len(batch.images)
    terms = {
        f'supervised_{name}': term
        for name, term in supervised(output.rows(0, labelled), batch.targets[:labelled]).items()
    }
    if semi > 0:
        found = supervised(output.rows(labelled, pictures), batch.targets[labelled:])
        terms |= {f'semi_{name}': semi * term for name, term in found.items()}
    if contrast is not None and contrast.settings.weight > 0:
        weak, strong, progress, settings = contrast
        terms['contrast'] = settings.weight * pixel_contrast(weak, strong, output.levels[-1], progress, settings)
    return terms
