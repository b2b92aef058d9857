# SPDX-License-Identifier: Apache-2.0
"""A first load in a process of its own: a hostile or damaged model can crash onnxruntime, and with it who loads it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cast_ros.student.errors import StudentError
from cast_ros.student.providers import CPU, DEFAULT_ENGINES, EngineOptions

# TensorRT may build its engine on the first load.
TIMEOUT_S = 900.0

_tried: set[tuple[str, tuple[str, ...], EngineOptions, int]] = set()


def try_load(
    path: Path,
    providers: Sequence[str] = (CPU,),
    require_provider: bool = True,
    engines: EngineOptions = DEFAULT_ENGINES,
    threads: int = 1,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Load, check and warm up a student in a child process, once for each content of a file in this process.

    Args:
        path: the ONNX file.
        providers: as for ``Student.load``.
        require_provider: as for ``Student.load``.
        engines: as for ``Student.load``; what the child compiled, the next load finds.
        threads: as for ``Student.load``; OpenVINO compiles for a number of them.
        timeout_s: a load that takes longer counts as failed.

    Raises:
        StudentError: as ``Student.load``; also when the child crashed or did not end.
    """
    from cast_ros.student.onnx_file import read_onnx_file

    key = (read_onnx_file(path).sha256, tuple(providers), engines, threads)
    if key in _tried:
        return
    load_in_child(path, providers, require_provider, engines, threads, timeout_s)
    _tried.add(key)


def load_in_child(
    path: Path,
    providers: Sequence[str],
    require_provider: bool,
    engines: EngineOptions,
    threads: int,
    timeout_s: float,
) -> None:
    """The same as ``try_load``, every time."""
    cache = '' if engines.cache is None else str(engines.cache)
    arguments = [str(path), _flag(require_provider), str(threads), _flag(engines.fp16), cache, *providers]
    run_child([sys.executable, '-m', 'cast_ros.student.trial', *arguments], path, timeout_s)


def run_child(command: Sequence[str], path: Path, timeout_s: float) -> None:
    """Run the command that loads ``path``, and turn what became of it into an error, if any."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StudentError(f'{path}: did not load within {timeout_s:.0f} s; do not use this file') from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise StudentError(f'{path}: crashes onnxruntime ({name}); do not use this file, and do not trust its origin')
    if done.returncode != 0:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), 'it said nothing')
        raise StudentError(said)


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
