# SPDX-License-Identifier: Apache-2.0
"""Where the time of a student goes: every operator that onnxruntime runs, by kind and by part of the network.

    .venv/bin/python -m benchmarks.speed.operators

Writes operators.json and operators.md beside this file; another student or fewer runs only into another folder (--out).
Multiply-accumulates are those of the optimised graph, whose channels onnxruntime pads to multiples of eight; the peak
for the floor is measured before and after.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from benchmarks.speed.command import repeatable, require_place
from benchmarks.speed.document import Figures, origin_of
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.exports import EXPORTED, HERE, export_missing, graph_digest
from benchmarks.speed.measure import GemmPeak
from benchmarks.speed.parts import PARTS, parts_of
from benchmarks.speed.rows import REFERENCE, ROWS, Row
from cast_ros.errors import CastError
from cast_ros.files import write_text
from cast_ros.student.loading import session_options
from cast_ros.student.providers import CPU

SIZE = (512, 1024)
THREADS, WARM_UP, RUNS, GEMM_CALLS = 2, 5, 60, 15
SUFFIX = '_kernel_time'
# Of a run; what takes less is summed up in the table.
SMALL_SHARE = 0.005
COMMAND = 'python -m benchmarks.speed.operators'
PRODUCTS = ('Gemm', 'MatMul', 'FusedMatMul', 'FusedGemm')

Shapes = list[tuple[int, ...]]


@dataclass(frozen=True)
class Kernel:
    """One operator as onnxruntime ran it: the median of its time, and its multiply-accumulates."""

    name: str
    kind: str
    part: str
    ms: float
    macs: int


@dataclass(frozen=True)
class Profile:
    """All operators, and the median of whole runs, which holds what passes between operators too."""

    run_ms: float
    kernels: tuple[Kernel, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--row', default=REFERENCE, help='a student of the table')
    parser.add_argument('--runs', type=int, default=RUNS)
    parser.add_argument('--models', type=Path, default=EXPORTED, help='exported networks')
    parser.add_argument('--out', type=Path, default=HERE, help='folder of the results')
    words = sys.argv[1:] if arguments is None else arguments
    asked = parser.parse_args(words)
    limits = {'--row': asked.row != REFERENCE, '--runs': asked.runs < RUNS}
    try:
        row = student_named(asked.row)
        require_place(limits, asked.out, HERE)
        origin = {**origin_of(repeatable(COMMAND, words)), 'graph': graph_digest(row)}
        path = export_missing(row, SIZE, asked.models)
        gemm = GemmPeak(THREADS)
        times = [gemm.call() for _ in range(GEMM_CALLS)]
        profile = profiled(path, THREADS, asked.runs)
        times += [gemm.call() for _ in range(GEMM_CALLS)]
        document = as_document(asked.row, profile, gemm.gmacs_per_s(times), asked.runs, origin)
    except CastError as error:
        print(f'Stopped: {error}', file=sys.stderr)
        return error.exit_code
    texts = {'operators.json': json.dumps(document, indent=1) + '\n', 'operators.md': as_markdown(document)}
    for name, text in texts.items():
        write_text(asked.out / name, text)
    print(as_markdown(document))
    return 0


def student_named(name: str) -> Row:
    """A float student of the table; a BenchmarkError says which there are."""
    students = {row.name: row for row in ROWS if row.family == 'student' and not row.is_int8}
    if name not in students:
        raise BenchmarkError(f'there is no student {name}; students are {", ".join(students)}')
    return students[name]


def profiled(path: Path, threads: int, runs: int) -> Profile:
    """Run a student under onnxruntime's profiler."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / 'profile')
        options.optimized_model_filepath = str(Path(folder) / 'optimised.onnx')
        session = onnxruntime.InferenceSession(str(path), options, providers=[CPU])
        feed = {'image': np.random.default_rng(0).integers(0, 256, session.get_inputs()[0].shape, dtype=np.uint8)}
        for _ in range(WARM_UP + runs):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding='utf-8'))
        graph = onnx.load(options.optimized_model_filepath).graph
    return _read_events(events, graph, session.get_inputs()[0].shape)


def _read_events(events: list[dict[str, Any]], graph: onnx.GraphProto, picture: Sequence[int]) -> Profile:
    whole = [event['dur'] / 1e3 for event in events if event['name'] == 'model_run'][WARM_UP:]
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event['cat'] == 'Node' and event['name'].endswith(SUFFIX):
            by_name[event['name'].removesuffix(SUFFIX)].append(event)
    height, width = picture[1] // 4, picture[2] // 4
    fine = {name for name, found in by_name.items() if _is_fine(_shapes(found[0], 'output'), height, width)}
    parts = parts_of(graph, fine)
    nameless = sorted(set(by_name) - set(parts))
    if nameless:
        raise BenchmarkError(f'operators have no names of their own in the file, as {nameless[0]}; export it anew')
    kernels = []
    for name, found in by_name.items():
        operator, inputs, outputs = found[0]['args']['op_name'], _shapes(found[0], 'input'), _shapes(found[0], 'output')
        median_ms = statistics.median(event['dur'] / 1e3 for event in found[WARM_UP:])
        kind, macs = _kind(operator, inputs), macs_of(operator, inputs, outputs)
        kernels.append(Kernel(name, kind, parts[name], median_ms, macs))
    return Profile(statistics.median(whole), tuple(kernels))


def _shapes(event: dict[str, Any], side: str) -> Shapes:
    return [tuple(shape) for one in event['args'][f'{side}_type_shape'] for shape in one.values()]


def _is_fine(outputs: Shapes, height: int, width: int) -> bool:
    return any(shape[-2:] == (height, width) or shape[-1:] == (height * width,) for shape in outputs)


def _kind(operator: str, inputs: Shapes) -> str:
    """Convolutions by their kernel, since their speeds differ by a factor of five; the rest as onnxruntime calls it."""
    if operator not in ('Conv', 'FusedConv'):
        return operator
    _, per_group, rows, columns = inputs[1]
    return f'Conv {rows}×{columns}{" depthwise" if per_group == 1 else ""}'


def macs_of(operator: str, inputs: Shapes, outputs: Shapes) -> int:
    """Multiply-accumulates of a kernel from the shapes that the profiler tells; weights that were packed have none."""
    if operator in ('Conv', 'FusedConv'):
        return math.prod(outputs[0]) * math.prod(inputs[1][1:])
    if operator not in PRODUCTS:
        return 0
    first, *others = (shape for shape in inputs if len(shape) > 1)
    if not others or operator.endswith('Gemm'):
        return math.prod(outputs[0]) * first[-1]
    # Whichever operand is transposed: b·M·K, b·K·N and b·M·N give the square of M·K·N.
    batch = math.prod(others[0][:-2])
    return round(math.sqrt(math.prod(first) * math.prod(others[0]) * math.prod(outputs[0]) / batch))


def as_document(row: str, profile: Profile, gemm_gmacs: float, runs: int, origin: Figures) -> Figures:
    """Sums by part and by kind, each with its own floor; what is left of a run stands apart."""
    inside = sum(kernel.ms for kernel in profile.kernels)
    macs = sum(kernel.macs for kernel in profile.kernels)
    return {
        **origin,
        'onnxruntime': onnxruntime.__version__,
        'threads': THREADS,
        'runs': runs,
        'name': row,
        'size': list(SIZE),
        'gemm_gmacs': round(gemm_gmacs, 1),
        'run_ms': round(profile.run_ms, 3),
        'floor_ms': round(macs / gemm_gmacs / 1e6, 3),
        'gmacs': round(macs / 1e9, 4),
        'operators': len(profile.kernels),
        'between_operators_ms': round(profile.run_ms - inside, 3),
        'parts': _sums(profile.kernels, lambda kernel: kernel.part, gemm_gmacs, PARTS),
        'kinds': _sums(profile.kernels, lambda kernel: kernel.kind, gemm_gmacs),
    }


def _sums(
    kernels: Iterable[Kernel], key: Callable[[Kernel], str], gemm_gmacs: float, order: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One entry for each value of the key: in the given order, or from the slowest."""
    groups: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        groups[key(kernel)].append(kernel)
    entries = []
    for name, members in groups.items():
        macs = sum(kernel.macs for kernel in members)
        entries.append(
            {
                'name': name,
                'operators': len(members),
                'ms': round(sum(kernel.ms for kernel in members), 3),
                'gmacs': round(macs / 1e9, 4),
                'floor_ms': round(macs / gemm_gmacs / 1e6, 3),
            }
        )
    return sorted(entries, key=lambda one: order.index(one['name']) if order else -one['ms'])


def as_markdown(document: dict[str, Any]) -> str:
    """The page for people."""
    height, width = document['size']
    lines = [
        f'# Where the time of `{document["name"]}` goes at {height}×{width}',
        '',
        f'{document["machine"]}, {document["threads"]} threads, onnxruntime {document["onnxruntime"]} in float32, '
        f'medians of {document["runs"]} runs under its profiler, which itself takes some time. Made by '
        f'`{document["command"]}` at revision {document["git"]}, graph {document["graph"]}; load of the machine before '
        f'the start {document["load_before"]}.',
        '',
        f'A run takes {document["run_ms"]:.1f} ms, {document["run_ms"] / document["floor_ms"]:.2f} times its floor of '
        f'{document["floor_ms"]:.1f} ms ({document["gmacs"]:.2f} GMAC at the {document["gemm_gmacs"]:.0f} GMAC/s of a '
        f'large matrix product). Of it {document["between_operators_ms"]:.1f} ms pass between the '
        f'{document["operators"]} operators.',
    ]
    for title, key in (('part', 'parts'), ('kind of operator', 'kinds')):
        lines += ['', f'| {title} | operators | ms | share | GMAC | floor ms | above the floor ms |']
        lines += ['| --- | ---: | ---: | ---: | ---: | ---: | ---: |']
        lines += [_line(entry, document['run_ms']) for entry in _with_rest(document[key], document['run_ms'])]
    return '\n'.join([*lines, ''])


def _with_rest(entries: list[dict[str, Any]], run_ms: float) -> list[dict[str, Any]]:
    """What takes little time as one entry at the end; the JSON file has all."""
    small = [entry for entry in entries if entry['ms'] < SMALL_SHARE * run_ms]
    if len(small) < 2:
        return entries
    rest = {key: sum(entry[key] for entry in small) for key in ('operators', 'ms', 'gmacs', 'floor_ms')}
    return [entry for entry in entries if entry not in small] + [{'name': f'{len(small)} others', **rest}]


def _line(entry: dict[str, Any], run_ms: float) -> str:
    above = entry['ms'] - entry['floor_ms']
    return (
        f'| {entry["name"]} | {entry["operators"]} | {entry["ms"]:.2f} | {100 * entry["ms"] / run_ms:.1f} % | '
        f'{entry["gmacs"]:.3f} | {entry["floor_ms"]:.2f} | {above:.2f} |'
    )


if __name__ == '__main__':
    sys.exit(main())
