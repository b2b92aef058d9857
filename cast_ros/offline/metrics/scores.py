# SPDX-License-Identifier: Apache-2.0
"""What the results of all metrics share: as a document, by class name, and as a mean of what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """The numbers of one metric over all pictures."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def mean_known(values: FloatArray) -> float | None:
    """Mean of what is not NaN; None if all is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def by_name(names: Sequence[str], values: FloatArray) -> dict[str, float | None]:
    """(N,) values by the names of their classes; None for NaN."""
    return {name: None if np.isnan(value) else float(value) for name, value in zip(names, values, strict=True)}
