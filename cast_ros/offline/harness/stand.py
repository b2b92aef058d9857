# SPDX-License-Identifier: Apache-2.0
"""The perception node in a process of its own, and a node of ours that stands beside it in this thread."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from cast_ros.errors import HarnessError
from cast_ros.nodes.fastdds import stay_on_this_machine
from cast_ros.offline.harness.recorder import Recorder

if TYPE_CHECKING:
    from typing_extensions import Self

READY_WITHIN_S, _STOPS_WITHIN_S, _SLICE_S = 60.0, 15.0, 0.02


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


@dataclass(frozen=True)
class Stand:
    """Callbacks of ``node`` run in ``spin`` alone.

    Attributes:
        node: of ours; carries publishers and subscriptions.
        child: the perception node's process.
    """

    node: Node
    child: ChildNode
    _executor: SingleThreadedExecutor

    def spin(self, seconds: float) -> None:
        """Let callbacks run for at most so long; raises HarnessError if the perception node is gone."""
        self._executor.spin_once(timeout_sec=seconds)
        self.child.check_alive()

    def wait_until_ready(self, recorder: Recorder, waits_for: Callable[[], list[str]]) -> None:
        """Until both sides see each other on every topic: an image sent before that would be lost.

        Args:
            recorder: of the answers.
            waits_for: what else is missing, for example the topics of a player that nobody listens to.

        Raises:
            HarnessError: the node cannot start, or is not there in time.
        """
        deadline_s = time.monotonic() + READY_WITHIN_S
        while missing := [*waits_for(), *recorder.waits_for()]:
            if recorder.report.failure:
                raise HarnessError(f'the node could not start: {recorder.report.failure}')
            if time.monotonic() > deadline_s:
                raise HarnessError(
                    f'the node was not ready after {READY_WITHIN_S:.0f} s, missing: {", ".join(missing)}; '
                    f'{self.child.last_words()}'
                )
            self.spin(_SLICE_S)


@contextmanager
def stand(name: str, parameters: Mapping[str, str], log_path: Path) -> Iterator[Stand]:
    """Start both on a domain of their own, unless this shell names one, and end both.

    Args:
        name: of our node.
        parameters: of the perception node.
        log_path: gets what it prints.

    Raises:
        HarnessError: it ended with an error.
    """
    stay_on_this_machine()
    # Ctrl-C shall be a KeyboardInterrupt here, not a context that vanishes under the player.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Node(name)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with ChildNode(parameters, log_path) as child:
            yield Stand(node, child, executor)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
