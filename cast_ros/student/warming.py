# SPDX-License-Identifier: Apache-2.0
"""Compiling a student for a provider beforehand, so that the robot's first start does not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cast_ros.student.onnx_file import read_onnx_file
from cast_ros.student.prediction import Timing
from cast_ros.student.providers import LoadOptions
from cast_ros.student.runtime import Student
from cast_ros.student.trial import TIMEOUT_S, load_in_child

PROGRESS_PERIOD_S = 0.5


@dataclass(frozen=True)
class Progress:
    """While the first load runs: how long it has, and how much lies in the folder of engines."""

    seconds: float
    engine_bytes: int


@dataclass(frozen=True)
class Warmed:
    """A student that is ready for a provider.

    Attributes:
        provider: the one that is really in use.
        folder: where its engines are; None for a provider that keeps none.
        engine_bytes: size of all of them.
        new_bytes: what this call added; 0 when they were there already.
        first_load_s: with compiling, in a process of its own.
        second_load_s: what the node will need from now on.
        timing: of one black picture after that.
    """

    provider: str
    folder: Path | None
    engine_bytes: int
    new_bytes: int
    first_load_s: float
    second_load_s: float
    timing: Timing


def warm(
    path: Path,
    options: LoadOptions,
    say: Callable[[Progress], None],
    timeout_s: float = TIMEOUT_S,
    period_s: float = PROGRESS_PERIOD_S,
) -> Warmed:
    """Load a student in a child process, which compiles what is missing; load it again here, and answer one picture.

    Args:
        path: the ONNX file.
        options: OpenVINO compiles for a number of threads; what is required decides whether another provider will do.
        say: called every ``period_s``, in a thread of its own.
        timeout_s: compiling that takes longer counts as failed.
        period_s: seconds between two reports.

    Raises:
        StudentError: as ``Student.load``; the child crashed or did not end; also when another provider took over.
    """
    folder = options.folder_of(options.providers[0], read_onnx_file(path).sha256)
    before = _bytes_in(folder)
    started = time.monotonic()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(period_s):
            say(Progress(time.monotonic() - started, _bytes_in(folder)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        load_in_child(path, options, timeout_s)
    finally:
        done.set()
        watcher.join()
    first_load_s = time.monotonic() - started
    started = time.monotonic()
    with Student.load(path, options) as student:
        second_load_s = time.monotonic() - started
        spec = student.contract.input
        student.predict(np.zeros((spec.height, spec.width, 3), np.uint8))
        timing = student.last_timing
        assert timing is not None
        after = _bytes_in(folder)
        return Warmed(student.provider, folder, after, max(after - before, 0), first_load_s, second_load_s, timing)


def _bytes_in(folder: Path | None) -> int:
    """Size of the files in a folder; files that vanish meanwhile are a provider's temporary ones."""
    total = 0
    for file in () if folder is None else folder.rglob('*'):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total
