# SPDX-License-Identifier: Apache-2.0
"""Whether the node stays as it is under more pictures than it can answer: `cast bench soak`.

Bursts of pictures come as fast as asked; after each the newest one must be answered. The memory of the node's process
is read all the while.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from cast_ros.bags.messages import stamp_ns
from cast_ros.nodes.bench import READY_WITHIN_S, street_like
from cast_ros.nodes.demo.child import ChildNode, DemoError
from cast_ros.nodes.demo.recorder import Recorder
from cast_ros.nodes.image_codec import image_message_to_publish
from cast_ros.student import Student

BURST_S, ANSWER_WITHIN_S, MEMORY_EVERY_S = 5.0, 5.0, 1.0
# Until then caches and memory pools grow.
WARM_UP_SHARE = 0.2


@dataclass(frozen=True)
class SoakOptions:
    """What is done.

    Attributes:
        model: a student.
        width, height: of the pictures, pixels.
        seconds: how long.
        rate_hz: of the pictures in a burst.
        threads: of the inference.
        log_path: what the node prints.
    """

    model: Path
    width: int
    height: int
    seconds: float
    rate_hz: float
    threads: int
    log_path: Path


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


def soak_node(options: SoakOptions) -> SoakResult:
    """Do it.

    Raises:
        DemoError: the node does not start, or dies.
        StudentError: the model cannot be used.
    """
    with Student.load(options.model, threads=1) as student:
        heads = student.contract.heads
    parameters = {'model': str(options.model), 'threads': str(options.threads), 'image_topic': '/bench/image'}
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Node('cast_soak')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with ChildNode(parameters, options.log_path) as child:
            return _Soak(node, executor, child, Recorder(node, heads, with_overlay=False), options).run()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


class _Soak:
    """One thread that sends, listens, and reads the memory."""

    def __init__(
        self, node: Node, executor: SingleThreadedExecutor, child: ChildNode, recorder: Recorder, options: SoakOptions
    ) -> None:
        self._executor, self._child, self._recorder, self._options = executor, child, recorder, options
        self._camera = node.create_publisher(
            Image, '/bench/image', QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        )
        self._values: dict[str, str] = {}
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._picture = street_like(options.width, options.height)
        self._sent = 0
        self._sent_s: dict[int, float] = {}
        self._ages_s: list[float] = []
        self._memory: list[tuple[float, float]] = []

    def run(self) -> SoakResult:
        self._until(lambda: not self._recorder.waits_for(), READY_WITHIN_S)
        started_s = time.perf_counter()
        bursts = unanswered = 0
        while time.perf_counter() - started_s < self._options.seconds:
            newest = self._burst(started_s)
            bursts += 1
            unanswered += not self._until(partial(self._is_answered, newest), ANSWER_WITHIN_S)
            self._forget()
        self._until(lambda: False, 2 * MEMORY_EVERY_S)
        return SoakResult(
            sent=self._sent,
            answered=int(self._values.get('frames answered', '0')),
            superseded=int(self._values.get('frames dropped: superseded', '0')),
            bursts=bursts,
            unanswered=unanswered,
            errors=int(self._values.get('frames dropped: inference failed', '0')) + self._child.tracebacks(),
            memory_mb=self._memory[-1][1],
            slope_mb_per_minute=_slope_per_minute(self._memory),
            age_ms=float(np.median(self._ages_s)) * 1e3,
        )

    def _is_answered(self, stamp: int) -> bool:
        return not self._recorder.missing(stamp)

    def _burst(self, started_s: float) -> int:
        """Send for a while, and return the stamp of the newest picture."""
        end_s = time.perf_counter() + BURST_S
        while time.perf_counter() < end_s:
            self._sent += 1
            header = Header(frame_id='bench')
            header.stamp.sec = self._sent
            self._sent_s[stamp_ns(_Stamped(header))] = time.perf_counter()
            self._camera.publish(image_message_to_publish(self._picture, 'bgr8', header))
            self._read_memory(started_s)
            next_s = time.perf_counter() + 1 / self._options.rate_hz
            while (left_s := next_s - time.perf_counter()) > 0:
                self._executor.spin_once(timeout_sec=left_s)
            self._child.check_alive()
        return max(self._sent_s)

    def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Spin until it holds; False if it never did."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            if condition():
                return True
            if self._recorder.report.failure:
                raise DemoError(f'the node could not start: {self._recorder.report.failure}')
            self._executor.spin_once(timeout_sec=0.05)
            self._child.check_alive()
        return condition()

    def _forget(self) -> None:
        """Keep ages, not messages: the memory of this process is not of interest."""
        for stamp, answer in self._recorder.answers.items():
            if stamp in self._sent_s:
                self._ages_s.append(answer.complete_s - self._sent_s[stamp])
        self._recorder.answers.clear()
        self._sent_s.clear()

    def _read_memory(self, started_s: float) -> None:
        now_s = time.perf_counter() - started_s
        if not self._memory or now_s - self._memory[-1][0] >= MEMORY_EVERY_S:
            self._memory.append((now_s, self._child.memory_mb()))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith('perception'):
                self._values = {entry.key: entry.value for entry in status.values}


@dataclass(frozen=True)
class _Stamped:
    header: Any


def _slope_per_minute(memory: list[tuple[float, float]]) -> float:
    """MB per minute of a line through the readings after the warm-up."""
    times_s, values_mb = np.array(memory[int(WARM_UP_SHARE * len(memory)) :]).T
    return float(np.polyfit(times_s, values_mb, 1)[0]) * 60 if len(times_s) > 1 else 0.0
