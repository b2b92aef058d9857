# SPDX-License-Identifier: Apache-2.0
"""How large and how carefully frames are rendered; the defaults are those of the shared set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """Size in pixels, Cycles samples per pixel, threads of one renderer."""

    width_px: int = 512
    height_px: int = 256
    samples: int = 8
    threads: int = 1
