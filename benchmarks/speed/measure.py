# SPDX-License-Identifier: Apache-2.0
"""Interleaved rounds: whatever else the machine does meanwhile, it does to every network alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.speed.networks import CallTime, Timed
from cast_ros.student.loading import session_options
from cast_ros.student.providers import CPU

# A network gets about this long in a round, so that a fast one is measured more often than a slow one.
ROUND_MS = 150.0
MOST_CALLS = 8
# The product that stands for the peak of the machine: large, square, single precision.
GEMM_SIDE = 2048


def interleaved(
    networks: Mapping[str, Timed], rounds: int, seed: int = 0, after_round: Callable[[int], None] | None = None
) -> dict[str, list[CallTime]]:
    """Call every network in every round, in an order that is another each time.

    A call that is not counted precedes those of each turn, if the network is fast: the network before has filled the
    caches with its own weights, which does not happen on a robot.

    Args:
        networks: loaded and warm.
        rounds: how many.
        seed: of the orders.
        after_round: is told the number of each finished round, from 1.

    Returns:
        The calls of each network, in order of time.
    """
    order = random.Random(seed)  # noqa: S311, not for secrets
    calls = {name: calls_per_round(network.call().total_ms) for name, network in networks.items()}
    times: dict[str, list[CallTime]] = {name: [] for name in networks}
    for number in range(1, rounds + 1):
        names = list(networks)
        order.shuffle(names)
        for name in names:
            if calls[name] > 1:
                networks[name].call()
            times[name] += [networks[name].call() for _ in range(calls[name])]
        if after_round is not None:
            after_round(number)
    return times


def calls_per_round(duration_ms: float) -> int:
    """How often a network that takes so long is called in a round; at least once."""
    return max(1, min(MOST_CALLS, int(ROUND_MS / max(duration_ms, 1e-3))))


def summary(times: Iterable[CallTime]) -> dict[str, float]:
    """The figures of a row, in milliseconds."""
    known = list(times)
    totals = [one.total_ms for one in known]
    return {
        'p50_ms': statistics.median(totals),
        'p95_ms': float(np.percentile(totals, 95)),
        'network_p50_ms': statistics.median(one.network_ms for one in known),
        'post_p50_ms': statistics.median(one.post_ms for one in known),
    }


class GemmPeak:
    """One large float32 MatMul in onnxruntime, with as many threads as the networks have."""

    def __init__(self, threads: int, side: int = GEMM_SIDE) -> None:
        rng = np.random.default_rng(0)
        weight = numpy_helper.from_array(rng.random((side, side), dtype=np.float32), 'weight')
        shape = [side, side]
        graph = helper.make_graph(
            [helper.make_node('MatMul', ['x', 'weight'], ['y'])],
            'gemm',
            [helper.make_tensor_value_info('x', TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info('y', TensorProto.FLOAT, shape)],
            [weight],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
        onnx.checker.check_model(model)
        content, options = model.SerializeToString(), session_options(threads)
        self._session = onnxruntime.InferenceSession(content, options, providers=[CPU])
        self._feed = {'x': rng.random((side, side), dtype=np.float32)}
        self._gmacs = side**3 / 1e9

    def call(self) -> CallTime:
        """Multiply once."""
        started = time.perf_counter()
        self._session.run(None, self._feed)
        return CallTime((time.perf_counter() - started) * 1e3, 0.0)

    def gmacs_per_s(self, times: Iterable[CallTime]) -> float:
        """Billions of multiply-accumulates a second; the median, as for the networks whose floor it makes."""
        return self._gmacs / (statistics.median(one.total_ms for one in times) / 1e3)
