# SPDX-License-Identifier: Apache-2.0
"""How long a picture takes through the real node, and where the time goes: `cast bench node`.

The node runs as a process of its own. Pictures are sent one at a time, each after the answer to the one before it, so
that nothing waits in a queue and the figures are those of the node.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from cast_ros.nodes.demo.child import ChildNode, DemoError
from cast_ros.nodes.demo.recorder import Recorder
from cast_ros.nodes.image_codec import image_message_to_publish
from cast_ros.student import Student

# In the order in which a picture passes them; ``waiting`` is before all of them, in the node.
STAGES = ('waiting', 'decode', 'preprocess', 'inference', 'postprocess', 'publish')
ANSWER_WITHIN_S, READY_WITHIN_S, REPORT_WITHIN_S = 20.0, 60.0, 3.0
WARM_UP_PICTURES = 10
# Of the node's own percentiles.
WINDOW = 200


@dataclass(frozen=True)
class BenchOptions:
    """What is measured.

    Attributes:
        model: a student.
        width, height: of the pictures, pixels.
        seconds: how long pictures are sent.
        threads: of the inference.
        log_path: what the node prints.
    """

    model: Path
    width: int
    height: int
    seconds: float
    threads: int
    log_path: Path


@dataclass(frozen=True)
class BenchResult:
    """What came out; milliseconds.

    Attributes:
        pictures: how many were answered.
        latency_ms: from publishing a picture to the last of its answers; percentiles 50, 95 and 99.
        stage_ms: percentile 50 and 95 of every stage in the node, over its last 200 pictures.
        processing_ms: the same of all stages together, decode to publish.
        model: name and version.
        provider: of the inference.
    """

    pictures: int
    latency_ms: tuple[float, float, float]
    stage_ms: dict[str, tuple[float, float]]
    processing_ms: tuple[float, float]
    model: str
    provider: str

    @property
    def beside_inference_ms(self) -> float:
        """Median of everything in the node that is not inference."""
        return self.processing_ms[0] - self.stage_ms['inference'][0]


def bench_node(options: BenchOptions) -> BenchResult:
    """Measure.

    Raises:
        DemoError: the node does not start, dies, or does not answer.
        StudentError: the model cannot be used.
    """
    with Student.load(options.model, threads=1) as student:
        heads = student.contract.heads
    parameters = {
        'model': str(options.model),
        'threads': str(options.threads),
        'image_topic': '/bench/image',
        'input_reliability': 'reliable',
    }
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Node('cast_bench')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with ChildNode(parameters, options.log_path) as child:
            return _Conversation(node, executor, child, Recorder(node, heads, with_overlay=False), options).measure()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


class _Conversation:
    """Sending pictures and waiting for their answers, in one thread."""

    def __init__(
        self, node: Node, executor: SingleThreadedExecutor, child: ChildNode, recorder: Recorder, options: BenchOptions
    ) -> None:
        self._executor, self._child, self._recorder, self._options = executor, child, recorder, options
        self._camera = node.create_publisher(
            Image, '/bench/image', QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        )
        self._values: dict[str, str] = {}
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._sent = 0

    def measure(self) -> BenchResult:
        self._wait(lambda: not self._recorder.waits_for(), READY_WITHIN_S, 'the node to be ready')
        picture = street_like(self._options.width, self._options.height)
        for _ in range(WARM_UP_PICTURES):
            self._ask(picture)
        latency_ms: list[float] = []
        end_s = time.perf_counter() + self._options.seconds
        while time.perf_counter() < end_s or len(latency_ms) < WINDOW:
            latency_ms.append(self._ask(picture))
        answered = self._sent
        self._wait(
            lambda: int(self._values.get('frames answered', '0')) >= answered, REPORT_WITHIN_S, 'the last diagnostics'
        )
        p50, p95, p99 = (float(value) for value in np.percentile(latency_ms, (50, 95, 99)))
        return BenchResult(
            pictures=len(latency_ms),
            latency_ms=(p50, p95, p99),
            stage_ms={stage: self._percentiles(f'{stage}_ms') for stage in STAGES},
            processing_ms=self._percentiles('processing_ms'),
            model=self._values.get('model', ''),
            provider=self._values.get('provider', ''),
        )

    def _ask(self, picture: NDArray[np.uint8]) -> float:
        """Send a picture and return the milliseconds until all of its answers were there."""
        self._sent += 1
        header = Header(frame_id='bench')
        header.stamp.sec = self._sent
        started_s = time.perf_counter()
        self._camera.publish(image_message_to_publish(picture, 'bgr8', header))
        stamp = self._sent * 1_000_000_000
        self._wait(lambda: not self._recorder.missing(stamp), ANSWER_WITHIN_S, f'an answer to picture {self._sent}')
        answer = self._recorder.answers.pop(stamp)
        return (answer.complete_s - started_s) * 1e3

    def _wait(self, condition: Any, seconds: float, what: str) -> None:
        deadline_s = time.monotonic() + seconds
        while not condition():
            if self._recorder.report.failure:
                raise DemoError(f'the node could not start: {self._recorder.report.failure}')
            if time.monotonic() > deadline_s:
                raise DemoError(f'waited {seconds:.0f} s for {what}; {self._child.last_words()}')
            self._executor.spin_once(timeout_sec=0.05)
            self._child.check_alive()

    def _percentiles(self, name: str) -> tuple[float, float]:
        return float(self._values[f'{name} p50']), float(self._values[f'{name} p95'])

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith('perception'):
                self._values = {entry.key: entry.value for entry in status.values}


def street_like(width: int, height: int) -> NDArray[np.uint8]:
    """H×W×3: something with sky, road and boxes, so that instances are found and painted."""
    rng = np.random.default_rng(0)
    picture = np.full((height, width, 3), (120, 120, 120), np.uint8)
    picture[: height // 2] = (235, 206, 170)
    for _ in range(12):
        side = int(rng.integers(height // 12, height // 4))
        left, top = int(rng.integers(0, width - side)), int(rng.integers(height // 3, height - side))
        cv2.rectangle(picture, (left, top), (left + side, top + side // 2), rng.integers(0, 255, 3).tolist(), -1)
    return picture
