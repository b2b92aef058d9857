# SPDX-License-Identifier: Apache-2.0
"""How long a picture takes through the real node, and where the time goes: `cast bench node`.

Pictures are sent one at a time with their calibration, each after the answer to the one before it, so that nothing
waits in a queue and the figures are those of the node. Every output is listened to, but not the overlay for people.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cast_ros.offline.harness.measured_node import MeasuredNode, measured_node

# In the order in which a picture passes them; ``waiting`` is before all of them, in the node.
STAGES = ('waiting', 'decode', 'preprocess', 'inference', 'postprocess', 'publish')
ANSWER_WITHIN_S, REPORT_WITHIN_S = 20.0, 3.0
WARM_UP_PICTURES = 10
# Of the node's own percentiles.
WINDOW = 200


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
        outputs: what was listened to.
    """

    pictures: int
    latency_ms: tuple[float, float, float]
    stage_ms: dict[str, tuple[float, float]]
    processing_ms: tuple[float, float]
    model: str
    provider: str
    outputs: tuple[str, ...]

    @property
    def beside_inference_ms(self) -> float:
        """Median of everything in the node that is not inference."""
        return self.processing_ms[0] - self.stage_ms['inference'][0]

    @property
    def times_inference(self) -> float:
        """Median from publishing a picture to the last of its answers, by that of the inference."""
        return self.latency_ms[0] / self.stage_ms['inference'][0]


def bench_node(model: Path, picture: NDArray[np.uint8], seconds: float, threads: int, log_path: Path) -> BenchResult:
    """Measure.

    Args:
        model: a student.
        picture: H×W×3, BGR; what it shows decides how many instances the node has to paint and to locate.
        seconds: how long pictures are sent; at least 200 are.
        threads: of the inference.
        log_path: what the node prints.

    Raises:
        HarnessError: the node does not start, dies, or does not answer.
        StudentError: the model cannot be used.
    """
    with measured_node(model, picture, threads, log_path, {'input_reliability': 'reliable'}) as node:
        for _ in range(WARM_UP_PICTURES):
            _ask(node, picture)
        latency_ms: list[float] = []
        end_s = time.perf_counter() + seconds
        while time.perf_counter() < end_s or len(latency_ms) < WINDOW:
            latency_ms.append(_ask(node, picture))
        node.require(
            lambda: int(node.values.get('frames answered', '0')) >= node.sent, REPORT_WITHIN_S, 'the last diagnostics'
        )
        p50, p95, p99 = (float(value) for value in np.percentile(latency_ms, (50, 95, 99)))
        return BenchResult(
            pictures=len(latency_ms),
            latency_ms=(p50, p95, p99),
            stage_ms={stage: _percentiles(node, f'{stage}_ms') for stage in STAGES},
            processing_ms=_percentiles(node, 'processing_ms'),
            model=node.values.get('model', ''),
            provider=node.values.get('provider', ''),
            outputs=node.recorder.outputs,
        )


def _ask(node: MeasuredNode, picture: NDArray[np.uint8]) -> float:
    """Send a picture and return the milliseconds until all of its answers were there."""
    started_s = time.perf_counter()
    stamp = node.send(picture)
    node.require(partial(node.is_answered, stamp), ANSWER_WITHIN_S, f'an answer to picture {node.sent}')
    return (node.recorder.answers.pop(stamp).complete_s - started_s) * 1e3


def _percentiles(node: MeasuredNode, name: str) -> tuple[float, float]:
    return float(node.values[f'{name} p50']), float(node.values[f'{name} p95'])
