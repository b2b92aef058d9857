# SPDX-License-Identifier: Apache-2.0
"""How the time of one student compares with another's on this machine, whatever else the machine does."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession

from cast_ros.student.loading import session_options
from cast_ros.student.providers import CPU

ROUNDS, RUNS = 8, 4
_CPU_INFO = Path('/proc/cpuinfo')
# What adds products of bytes in one instruction: VNNI on x86, the dot product on ARM.
_DOT_PRODUCTS = frozenset({'avx512_vnni', 'avx_vnni', 'asimddp'})


@dataclass(frozen=True)
class Speed:
    """Two students, interleaved.

    Attributes:
        before_ms, after_ms: CPU time of one picture with one thread, median.
        ratio: after / before, median over the rounds; below 1 is faster.
    """

    before_ms: float
    after_ms: float
    ratio: float


def compare_speed(before: Path, after: Path) -> Speed:
    """Run two students of the same input size in turn, so that what disturbs one disturbs the other.

    CPU time of one thread hardly depends on who else computes; wall time does.
    """
    options = session_options(threads=1)
    sessions = [InferenceSession(str(path), options, providers=[CPU]) for path in (before, after)]
    shape = sessions[0].get_inputs()[0].shape
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for session in sessions:
        session.run(None, {'image': picture})
    rounds = [[_cpu_ms(session, picture) for session in sessions] for _ in range(ROUNDS)]
    before_ms, after_ms = (statistics.median(times) for times in zip(*rounds, strict=True))
    return Speed(before_ms, after_ms, statistics.median(last / first for first, last in rounds))


def _cpu_ms(session: InferenceSession, picture: np.ndarray) -> float:
    started = time.process_time()
    for _ in range(RUNS):
        session.run(None, {'image': picture})
    return (time.process_time() - started) * 1e3 / RUNS


def machine_in_words() -> str:
    """The processor as ``cpu_in_words`` says it, and the number of cores."""
    return f'{cpu_in_words()}, {os.cpu_count()} cores'


def cpu_in_words() -> str:
    """Name of the processor, and whether it has instructions for int8, as far as the system says."""
    try:
        text = _CPU_INFO.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return platform.machine()
    name = re.search(r'^model name\s*:\s*(.+)$', text, re.MULTILINE)
    flags = re.search(r'^(?:flags|Features)\s*:\s*(.+)$', text, re.MULTILINE)
    words = name[1].strip() if name else platform.machine()
    if flags is None:
        return words
    has_them = bool(_DOT_PRODUCTS & set(flags[1].split()))
    return f'{words} {"with" if has_them else "without"} 8-bit dot products'
