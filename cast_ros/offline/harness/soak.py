# SPDX-License-Identifier: Apache-2.0
"""Whether the node stays as it is under more pictures than it can answer: `cast bench soak`.

Bursts of pictures come as fast as asked; after each the newest one must be answered. The memory of the node's process
is read all the while.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cast_ros.offline.harness.measured_node import MeasuredNode, measured_node, street_like

BURST_S, ANSWER_WITHIN_S, MEMORY_EVERY_S = 5.0, 5.0, 1.0
# Until then caches and memory pools grow.
WARM_UP_SHARE = 0.2


@dataclass(frozen=True)
class SoakResult:
    """What came out.

    Attributes:
        sent, answered, superseded: pictures.
        bursts: how many ended.
        unanswered: bursts whose newest picture was not answered within 5 s.
        errors: pictures that could not be processed, and tracebacks in the log.
        memory_mb: resident memory of the node at the end.
        slope_mb_per_minute: of a line through it, without the first fifth.
        age_ms: median from publishing an answered picture to its answer.
    """

    sent: int
    answered: int
    superseded: int
    bursts: int
    unanswered: int
    errors: int
    memory_mb: float
    slope_mb_per_minute: float
    age_ms: float


def soak_node(
    model: Path, size: tuple[int, int], seconds: float, rate_hz: float, threads: int, log_path: Path
) -> SoakResult:
    """Send bursts for a while.

    Args:
        model: a student.
        size: width and height of the pictures, pixels.
        seconds: how long.
        rate_hz: of the pictures in a burst.
        threads: of the inference.
        log_path: what the node prints.

    Raises:
        HarnessError: the node does not start, or dies.
        StudentError: the model cannot be used.
    """
    picture = street_like(*size)
    with measured_node(model, picture, threads, log_path, {}) as node:
        soak = _Soak(node, picture, rate_hz)
        bursts = unanswered = 0
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s:
            newest = soak.burst()
            bursts += 1
            unanswered += not node.until(partial(node.is_answered, newest), ANSWER_WITHIN_S)
            soak.forget()
        # Another look at /diagnostics, which come once a second.
        node.until(lambda: False, 2.0)
        return SoakResult(
            sent=node.sent,
            answered=int(node.values.get('frames answered', '0')),
            superseded=int(node.values.get('frames dropped: superseded', '0')),
            bursts=bursts,
            unanswered=unanswered,
            errors=int(node.values.get('frames dropped: inference failed', '0')) + node.child.tracebacks(),
            memory_mb=soak.memory[-1][1],
            slope_mb_per_minute=_slope_per_minute(soak.memory),
            age_ms=float(np.median(soak.ages_s)) * 1e3,
        )


class _Soak:
    """Bursts, and what is read on the way.

    Attributes:
        ages_s: from publishing a picture to its answer.
        memory: seconds since the start and resident MB.
    """

    def __init__(self, node: MeasuredNode, picture: NDArray[np.uint8], rate_hz: float) -> None:
        self.ages_s: list[float] = []
        self.memory: list[tuple[float, float]] = []
        self._node, self._picture, self._period_s = node, picture, 1 / rate_hz
        self._started_s = time.perf_counter()
        self._sent_s: dict[int, float] = {}

    def burst(self) -> int:
        """Send for a while, and return the stamp of the newest picture."""
        end_s = time.perf_counter() + BURST_S
        while (now_s := time.perf_counter()) < end_s:
            newest = self._node.send(self._picture)
            self._sent_s[newest] = now_s
            self._read_memory(now_s - self._started_s)
            self._node.until(lambda: False, now_s + self._period_s - time.perf_counter())
        return newest

    def forget(self) -> None:
        """Keep ages, not messages: the memory of this process is not of interest."""
        for stamp, answer in self._node.recorder.answers.items():
            if stamp in self._sent_s:
                self.ages_s.append(answer.complete_s - self._sent_s[stamp])
        self._node.recorder.answers.clear()
        self._sent_s.clear()

    def _read_memory(self, at_s: float) -> None:
        if not self.memory or at_s - self.memory[-1][0] >= MEMORY_EVERY_S:
            self.memory.append((at_s, self._node.child.memory_mb()))


def _slope_per_minute(memory: list[tuple[float, float]]) -> float:
    """MB per minute of a line through the readings after the warm-up."""
    times_s, values_mb = np.array(memory[int(WARM_UP_SHARE * len(memory)) :]).T
    return float(np.polyfit(times_s, values_mb, 1)[0]) * 60 if len(times_s) > 1 else 0.0
