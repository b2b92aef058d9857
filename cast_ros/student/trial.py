# SPDX-License-Identifier: Apache-2.0
"""A first load in a process of its own: a hostile or damaged model can crash onnxruntime, and with it who loads it.

It also compiles a student for a provider beforehand, so that the robot's first start does not wait for that.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cast_ros.errors import StudentError
from cast_ros.student.onnx_file import read_onnx_file
from cast_ros.student.prediction import Timing
from cast_ros.student.providers import DEFAULT_OPTIONS, LoadOptions
from cast_ros.student.runtime import Student

# TensorRT may build its engine on the first load.
TIMEOUT_S = 900.0
# So often a child is looked at, and whether it is still wanted.
_LOOK_EVERY_S = 0.1
PROGRESS_PERIOD_S = 0.5
# Nobody's bug: sent from outside, SIGKILL by the kernel when memory runs out.
_KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_tried: set[tuple[str, LoadOptions]] = set()


def try_load(
    path: Path,
    options: LoadOptions = DEFAULT_OPTIONS,
    unwanted: Callable[[], bool] = lambda: False,
) -> None:
    """Load, check and warm up a student in a child process, once for each content of a file in this process.

    Args:
        path: the ONNX file.
        options: as for ``Student.load``; what the child compiled, the next load finds.
        unwanted: asked ten times a second whether to give up, and end the child.

    Raises:
        StudentError: as ``Student.load``; also when the child crashed, was killed, did not end, or became unwanted.
    """
    key = (read_onnx_file(path).sha256, options)
    if key in _tried:
        return
    load_in_child(path, options, TIMEOUT_S, unwanted)
    _tried.add(key)


def load_in_child(
    path: Path, options: LoadOptions, timeout_s: float, unwanted: Callable[[], bool] = lambda: False
) -> None:
    """The same as ``try_load``, every time."""
    told = json.dumps({**asdict(options), 'cache': None if options.cache is None else str(options.cache)})
    run_child([sys.executable, '-m', 'cast_ros.student.trial', str(path), told], path, timeout_s, unwanted)


def run_child(
    command: Sequence[str], path: Path, timeout_s: float, unwanted: Callable[[], bool] = lambda: False
) -> None:
    """Run the command that loads ``path``, and turn what became of it into an error, if any; it never outlives this."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            stderr = _words_of(child, path, timeout_s, unwanted)
        finally:
            # Also when an exception comes from elsewhere, such as Ctrl-C, for which Popen would not wait.
            child.kill()
            child.wait()
    if child.returncode < 0:
        raise StudentError(f'{path}: {_died_of(signal.Signals(-child.returncode))}')
    if child.returncode != 0:
        raise StudentError(next((line for line in reversed(stderr.splitlines()) if line.strip()), 'it said nothing'))


def _words_of(child: subprocess.Popen[str], path: Path, timeout_s: float, unwanted: Callable[[], bool]) -> str:
    """What the child wrote to stderr until it ended; StudentError if that took too long or it became unwanted."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return child.communicate(timeout=min(_LOOK_EVERY_S, timeout_s))[1]
        except subprocess.TimeoutExpired as error:
            if unwanted():
                raise StudentError(f'{path}: its first load was ended before it was done, as asked') from error
            if time.monotonic() >= deadline_s:
                raise StudentError(f'{path}: did not load within {timeout_s:.0f} s; do not use this file') from error


def _died_of(number: signal.Signals) -> str:
    if number in _KILLS:
        return (
            f'its first load was killed ({number.name}), as happens when memory runs out; look into `dmesg`, free '
            'memory and configure again'
        )
    return f'crashes onnxruntime ({number.name}); do not use this file, and do not trust its origin'


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


def main(path: str, told: str) -> int:
    """The child: a file, and LoadOptions as JSON; the last line on stderr says what is wrong."""
    values = json.loads(told)
    cache = None if values['cache'] is None else Path(values['cache'])
    options = LoadOptions(**{**values, 'providers': tuple(values['providers']), 'cache': cache})
    try:
        Student.load(path, options).close()
    except StudentError as error:
        sys.stderr.write(f'\n{" ".join(str(error).split())}\n')
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
