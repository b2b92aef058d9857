# SPDX-License-Identifier: Apache-2.0
"""A first load in a process of its own: a hostile or damaged model can crash onnxruntime, and with it who loads it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cast_ros.errors import StudentError
from cast_ros.student.providers import CPU, DEFAULT_ENGINES, EngineOptions

# TensorRT may build its engine on the first load.
TIMEOUT_S = 900.0
# So often a child is looked at, and whether it is still wanted.
_LOOK_EVERY_S = 0.1
# Nobody's bug: sent from outside, SIGKILL by the kernel when memory runs out.
_KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_tried: set[tuple[str, tuple[str, ...], EngineOptions, int]] = set()


def try_load(
    path: Path,
    providers: Sequence[str] = (CPU,),
    require_provider: bool = True,
    engines: EngineOptions = DEFAULT_ENGINES,
    threads: int = 1,
    timeout_s: float = TIMEOUT_S,
    unwanted: Callable[[], bool] = lambda: False,
) -> None:
    """Load, check and warm up a student in a child process, once for each content of a file in this process.

    Args:
        path: the ONNX file.
        providers: as for ``Student.load``.
        require_provider: as for ``Student.load``.
        engines: as for ``Student.load``; what the child compiled, the next load finds.
        threads: as for ``Student.load``; OpenVINO compiles for a number of them.
        timeout_s: a load that takes longer counts as failed.
        unwanted: asked ten times a second whether to give up, and end the child.

    Raises:
        StudentError: as ``Student.load``; also when the child crashed, was killed, did not end, or became unwanted.
    """
    from cast_ros.student.onnx_file import read_onnx_file

    key = (read_onnx_file(path).sha256, tuple(providers), engines, threads)
    if key in _tried:
        return
    load_in_child(path, providers, require_provider, engines, threads, timeout_s, unwanted)
    _tried.add(key)


def load_in_child(
    path: Path,
    providers: Sequence[str],
    require_provider: bool,
    engines: EngineOptions,
    threads: int,
    timeout_s: float,
    unwanted: Callable[[], bool] = lambda: False,
) -> None:
    """The same as ``try_load``, every time."""
    cache = '' if engines.cache is None else str(engines.cache)
    arguments = [str(path), _flag(require_provider), str(threads), _flag(engines.fp16), cache, *providers]
    run_child([sys.executable, '-m', 'cast_ros.student.trial', *arguments], path, timeout_s, unwanted)


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


def _flag(value: bool) -> str:
    return '1' if value else '0'


def main(arguments: Sequence[str]) -> int:
    """The child: PATH REQUIRE_PROVIDER THREADS FP16 CACHE PROVIDER...; the last line on stderr says what is wrong."""
    from cast_ros.student.runtime import Student

    path, require_provider, threads, fp16, cache, *providers = arguments
    engines = EngineOptions(Path(cache) if cache else None, fp16 == _flag(True))
    try:
        Student.load(
            Path(path), tuple(providers), require_provider == _flag(True), int(threads), engines=engines
        ).close()
    except StudentError as error:
        sys.stderr.write(f'\n{" ".join(str(error).split())}\n')
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
