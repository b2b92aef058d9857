# SPDX-License-Identifier: Apache-2.0
"""How many of sixteen bits a camera uses: sensors of 10 to 14 bits send the lower ones alone, and would look black."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SENSORS = (10, 12, 14, 16)


class SixteenBits:
    """From 16 bits to the 8 that are looked at.

    Attributes:
        range: `full`, `auto`, or the number of bits that are used, 9 to 16.
        used: bits that are taken as used; 0 before the first picture.
    """

    def __init__(self, range_: str = 'auto') -> None:
        self.range = range_
        self.used = 0
        self._brightest = 0

    def narrowed(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        """uint8 of a uint16 array; `auto` goes by the brightest value so far, so that a dark picture stays dark."""
        if self.range == 'auto':
            self._brightest = max(self._brightest, int(array.max()))
            self.used = next(bits for bits in _SENSORS if self._brightest < 1 << bits)
        else:
            self.used = 16 if self.range == 'full' else int(self.range)
        narrow: NDArray[np.uint8] = np.minimum(array >> (self.used - 8), 255).astype(np.uint8)
        return narrow

    def __str__(self) -> str:
        return f'{self.range}: {self.used} bits' if self.range == 'auto' else f'{self.used} bits'
