# SPDX-License-Identifier: Apache-2.0
"""What each option of onnxruntime costs or gains, against the options that a student runs with.

    python -m benchmarks.runtime.options [MODEL.onnx ...]

Without a file: the shipped student, and an untrained `small` at 512×1024, which is exported as for `make bench-speed`.
All variants run in turn, in an order that is drawn anew for each round, and every figure is a ratio within its round:
what disturbs one disturbs the others. Writes options.json and options.md beside this file; of other models or fewer
rounds only into another folder (--out).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime import ExecutionMode, GraphOptimizationLevel, InferenceSession, OrtValue, SessionOptions

from benchmarks.speed.command import repeatable, require_place
from benchmarks.speed.document import origin_of
from benchmarks.speed.exports import EXPORTED, ROOT, export_missing
from benchmarks.speed.rows import Row
from cast_ros.errors import CastError
from cast_ros.files import write_text
from cast_ros.student.loading import session_options
from cast_ros.student.providers import CPU

HERE = Path(__file__).resolve().parent
COMMAND = 'python -m benchmarks.runtime.options'
SHIPPED_MODEL = ROOT / 'models' / 'streets-small.onnx'
UNTRAINED, UNTRAINED_SIZE = Row('small', 'student'), (512, 1024)
ROUNDS, RUNS = 15, 3
SHIPPED = 'as shipped'

Run = Callable[[], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every model and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', type=Path, nargs='*', help='students (.onnx)')
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument('--out', type=Path, default=HERE, help='folder of the results')
    words = sys.argv[1:] if arguments is None else arguments
    asked = parser.parse_args(words)
    limits = {'other models': bool(asked.models), '--rounds': asked.rounds < ROUNDS}
    try:
        require_place(limits, asked.out, HERE)
        origin = origin_of(repeatable(COMMAND, words))
        models = [(path.stem, path) for path in asked.models] or own_models(EXPORTED)
        document = {
            **origin,
            'onnxruntime': onnxruntime.__version__,
            'rounds': asked.rounds,
            'runs_per_round': RUNS,
            'models': [measure(name, path, asked.rounds) for name, path in models],
        }
    except CastError as error:
        print(f'Stopped: {error}', file=sys.stderr)
        return error.exit_code
    write_text(asked.out / 'options.json', json.dumps(document, indent=1) + '\n')
    write_text(asked.out / 'options.md', as_markdown(document))
    print(as_markdown(document))
    return 0


def own_models(folder: Path) -> list[tuple[str, Path]]:
    """Names and files of what the committed table is of; the untrained one is exported unless the folder has it.

    Raises:
        BenchmarkError: it does not export.
    """
    untrained = export_missing(UNTRAINED, UNTRAINED_SIZE, folder)
    return [(SHIPPED_MODEL.stem, SHIPPED_MODEL), (f'untrained-{UNTRAINED.name}', untrained)]


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
        'operators in parallel': plain(_in_parallel),
        'no memory arena': plain(field('enable_cpu_mem_arena', False)),
        'no memory pattern': plain(field('enable_mem_pattern', False)),
        'denormals flushed to zero': plain(entry('session.set_denormal_as_zero', '1')),
        'outputs bound to kept buffers': _bound(_session(path, lambda _: None, 0), picture),
    }


def _in_parallel(options: SessionOptions) -> None:
    # With the one thread between operators that a student gets, onnxruntime falls back to one operator at a time.
    options.execution_mode = ExecutionMode.ORT_PARALLEL
    options.inter_op_num_threads = 2


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


def measure(name: str, path: Path, rounds: int) -> dict[str, Any]:
    """Wall and CPU time of every variant, and both as ratios to the shipped options."""
    runs = variants(path)
    for run in runs.values():
        run()
    order = np.random.default_rng(0)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for variant in order.permutation(list(runs)):
            samples[variant].append(_timed(runs[variant]))
    height, width = _picture(path).shape[1:3]
    return {
        'name': name,
        'size': [int(height), int(width)],
        'rows': [_row(variant, taken, samples[SHIPPED]) for variant, taken in samples.items()],
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
        f'load of the machine before the start {document["load_before"]}. Made by `{document["command"]}` '
        f'at revision {document["git"]}.',
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
