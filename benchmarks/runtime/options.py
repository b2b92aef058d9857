# SPDX-License-Identifier: Apache-2.0
"""What each option of onnxruntime costs or gains, against the options that a student runs with.

    python benchmarks/runtime/options.py [MODEL.onnx ...]

All variants run in turn, in an order that is drawn anew for each round, and every figure is a ratio within its round:
what disturbs one disturbs the others. Writes options.json and options.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime import ExecutionMode, GraphOptimizationLevel, InferenceSession, OrtValue, SessionOptions

from cast_ros.files import write_text
from cast_ros.student.loading import session_options
from cast_ros.student.providers import CPU
from cast_train.export.speed import machine_in_words

HERE = Path(__file__).parent
SHIPPED_MODEL = HERE.parent.parent / 'models' / 'streets-small.onnx'
ROUNDS, RUNS = 15, 3
SHIPPED = 'as shipped'

Run = Callable[[], Any]


def main() -> None:
    """Measure every model and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('models', type=Path, nargs='*', default=[SHIPPED_MODEL], help='students (.onnx)')
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    arguments = parser.parse_args()
    document = {
        'command': 'python benchmarks/runtime/options.py',
        'machine': machine_in_words(),
        'load_before': round(os.getloadavg()[0], 1),
        'onnxruntime': onnxruntime.__version__,
        'rounds': arguments.rounds,
        'runs_per_round': RUNS,
        'models': [measure(path, arguments.rounds) for path in arguments.models],
    }
    write_text(HERE / 'options.json', json.dumps(document, indent=1) + '\n')
    write_text(HERE / 'options.md', as_markdown(document))
    print(as_markdown(document))


def variants(path: Path) -> dict[str, Run]:
    """One function for each way to run a student once on the same picture."""
    picture = _picture(path)

    def plain(change: Callable[[SessionOptions], object] = lambda _: None, threads: int = 0) -> Run:
        session = _session(path, change, threads)
        return lambda: session.run(None, {'image': picture})

    def entry(key: str, value: str) -> Callable[[SessionOptions], object]:
        return lambda options: options.add_session_config_entry(key, value)

    def field(name: str, value: object) -> Callable[[SessionOptions], object]:
        return lambda options: setattr(options, name, value)

    return {
        SHIPPED: plain(),
        'one thread': plain(threads=1),
        'two threads': plain(threads=2),
        'graph: extended instead of all': plain(
            field('graph_optimization_level', GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
        ),
        'graph: basic instead of all': plain(
            field('graph_optimization_level', GraphOptimizationLevel.ORT_ENABLE_BASIC)
        ),
        'threads spin': plain(entry('session.intra_op.allow_spinning', '1')),
        'operators in parallel': plain(field('execution_mode', ExecutionMode.ORT_PARALLEL)),
        'no memory arena': plain(field('enable_cpu_mem_arena', False)),
        'no memory pattern': plain(field('enable_mem_pattern', False)),
        'denormals flushed to zero': plain(entry('session.set_denormal_as_zero', '1')),
        'outputs bound to kept buffers': _bound(_session(path, lambda _: None, 0), picture),
    }


def _session(path: Path, change: Callable[[SessionOptions], object], threads: int) -> InferenceSession:
    options = session_options(threads)
    change(options)
    return InferenceSession(str(path), options, providers=[CPU])


def _bound(session: InferenceSession, picture: np.ndarray) -> Run:
    """Outputs are written into the same arrays every time."""
    binding = session.io_binding()
    for node, array in zip(session.get_outputs(), session.run(None, {'image': picture}), strict=True):
        binding.bind_ortvalue_output(node.name, OrtValue.ortvalue_from_numpy(array))

    def run() -> list[Any]:
        binding.bind_cpu_input('image', picture)
        session.run_with_iobinding(binding)
        return binding.get_outputs()

    return run


def _picture(path: Path) -> np.ndarray:
    shape = InferenceSession(str(path), providers=[CPU]).get_inputs()[0].shape
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def measure(path: Path, rounds: int) -> dict[str, Any]:
    """Wall and CPU time of every variant, and both as ratios to the shipped options."""
    runs = variants(path)
    for run in runs.values():
        run()
    order = np.random.default_rng(0)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name in order.permutation(list(runs)):
            samples[name].append(_timed(runs[name]))
    height, width = _picture(path).shape[1:3]
    return {
        'name': path.stem,
        'size': [int(height), int(width)],
        'rows': [_row(name, taken, samples[SHIPPED]) for name, taken in samples.items()],
    }


def _timed(run: Run) -> tuple[float, float]:
    """Wall and CPU milliseconds of one picture."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(RUNS):
        run()
    return (time.perf_counter() - wall) * 1e3 / RUNS, (time.process_time() - cpu) * 1e3 / RUNS


def _row(name: str, taken: list[tuple[float, float]], shipped: list[tuple[float, float]]) -> dict[str, Any]:
    walls = [one[0] / other[0] for one, other in zip(taken, shipped, strict=True)]
    cpus = [one[1] / other[1] for one, other in zip(taken, shipped, strict=True)]
    low, middle, high = statistics.quantiles(walls, n=4)
    return {
        'name': name,
        'wall_ms': round(statistics.median(wall for wall, _ in taken), 2),
        'cpu_ms': round(statistics.median(cpu for _, cpu in taken), 2),
        'wall_ratio': round(middle, 3),
        'wall_ratio_quartiles': [round(low, 3), round(high, 3)],
        'cpu_ratio': round(statistics.median(cpus), 3),
    }


def as_markdown(document: dict[str, Any]) -> str:
    """The tables for people."""
    lines = [
        '# Options of onnxruntime',
        '',
        f'Ratio to the options that a student runs with; below 1 is faster. {document["rounds"]} interleaved rounds of '
        f'{document["runs_per_round"]} pictures on {document["machine"]}, onnxruntime {document["onnxruntime"]}; '
        f'load of the machine before the start {document["load_before"]}. Made by `{document["command"]}`.',
    ]
    for model in document['models']:
        height, width = model['size']
        lines += [
            '',
            f'## {model["name"]}, {height}×{width}',
            '',
            '| option | wall ratio | its quartiles | CPU ratio | wall ms | CPU ms |',
            '| --- | ---: | ---: | ---: | ---: | ---: |',
        ]
        for row in model['rows']:
            low, high = row['wall_ratio_quartiles']
            lines.append(
                f'| {row["name"]} | {row["wall_ratio"]:.2f} | {low:.2f}–{high:.2f} | {row["cpu_ratio"]:.2f} | '
                f'{row["wall_ms"]:.1f} | {row["cpu_ms"]:.1f} |'
            )
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    main()
