# SPDX-License-Identifier: Apache-2.0
"""The perception node as a process of its own, as a robot starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from cast_ros.errors import HarnessError

if TYPE_CHECKING:
    from typing_extensions import Self

_STOPS_WITHIN_S = 15.0


class ChildNode:
    """Runs from entering to leaving a `with` statement; what it prints goes to `log_path`.

    Args:
        parameters: name and value, as on its command line.
        log_path: a file that is written anew.
    """

    def __init__(self, parameters: Mapping[str, str], log_path: Path) -> None:
        self._parameters = parameters
        self._log_path = log_path
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, '-m', 'cast_ros.nodes.perception_node', '--ros-args']
        for name, value in self._parameters.items():
            command += ['-p', f'{name}:={value}']
        self._log = self._log_path.open('wb')
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, log = self._process, self._log
        assert process is not None
        assert log is not None
        try:
            code = _stop(process)
        finally:
            log.close()
        if error is None and code != 0:
            raise HarnessError(f'the node answered every frame but ended with exit code {code}; {self.last_words()}')

    def check_alive(self) -> None:
        """Raises HarnessError if the node is gone."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            raise HarnessError(f'the node died with exit code {code}; {self.last_words()}')

    def memory_mb(self) -> float:
        """Resident memory of the process (Linux)."""
        assert self._process is not None
        for line in Path(f'/proc/{self._process.pid}/status').read_text(encoding='utf-8').splitlines():
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) / 1024
        raise HarnessError('the node has no resident memory: it is gone')

    def tracebacks(self) -> int:
        """How many the node has printed."""
        return self._log_path.read_text(encoding='utf-8', errors='replace').count('Traceback (most recent call last)')

    def last_words(self) -> str:
        """The end of what the node printed, for error messages."""
        lines = self._log_path.read_text(encoding='utf-8', errors='replace').split('\n')
        said = next((line.strip() for line in reversed(lines) if line.strip()), '')
        return f"its last words in {self._log_path} are: '{said}'" if said else f'{self._log_path} is empty'


def _stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(_STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
