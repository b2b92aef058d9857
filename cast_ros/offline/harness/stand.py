# SPDX-License-Identifier: Apache-2.0
"""The perception node in a process of its own, and a node of ours that stands beside it in this thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from cast_ros.errors import HarnessError
from cast_ros.nodes.fastdds import stay_on_this_machine
from cast_ros.offline.harness.child import ChildNode
from cast_ros.offline.harness.recorder import Recorder

READY_WITHIN_S = 60.0
_SLICE_S = 0.02


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
