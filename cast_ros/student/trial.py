# SPDX-License-Identifier: Apache-2.0
"""A first load in a process of its own: a hostile or damaged model can crash onnxruntime, and with it who loads it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from cast_ros.errors import StudentError
from cast_ros.student.providers import DEFAULT_OPTIONS, LoadOptions

# TensorRT may build its engine on the first load.
TIMEOUT_S = 900.0
# So often a child is looked at, and whether it is still wanted.
_LOOK_EVERY_S = 0.1
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
    from cast_ros.student.onnx_file import read_onnx_file

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


def main(path: str, told: str) -> int:
    """The child: a file, and LoadOptions as JSON; the last line on stderr says what is wrong."""
    from cast_ros.student.runtime import Student

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
