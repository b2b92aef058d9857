# SPDX-License-Identifier: Apache-2.0
"""Measure our students and what one would run instead, all in one interleaved run on this machine.

    make bench-speed

Exports what is not in out/speed/models yet (20 minutes the first time), then takes about ten minutes on a machine that
does nothing else, and 12 GB of memory. Writes results.json, results.md and results.svg beside this file; a part of the
rows, sizes or rounds only into another folder (--out).
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import onnxruntime

from benchmarks.speed.command import repeatable, require_place
from benchmarks.speed.document import Figures, document_of, finished, networks_of, origin_of, row_of
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.exports import EXPORTED, HERE, export_missing, graph_digest
from benchmarks.speed.graph_cost import GraphCost, count_file
from benchmarks.speed.measure import GemmPeak, interleaved, summary
from benchmarks.speed.memory import peak_mb
from benchmarks.speed.networks import CallTime, load
from benchmarks.speed.plot import as_svg
from benchmarks.speed.rows import PAIRS, ROWS, SIZES, Row, Size
from benchmarks.speed.table import as_markdown
from cast_ros.errors import CastError
from cast_ros.files import write_text
from cast_ros.student import Student

THREADS, ROUNDS = 2, 8
COMMAND, VARIABLE = 'make bench-speed', 'BENCH_ARGUMENTS'
GEMM = 'gemm'


@dataclass(frozen=True)
class Entry:
    """A row at a size, with its file and what was found out before the rounds."""

    row: Row
    size: Size
    path: Path
    graph: str
    cost: GraphCost
    peak_mb: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=ROUNDS, help='interleaved rounds at each size')
    parser.add_argument('--rows', nargs='+', metavar='NAME', help='only these rows')
    parser.add_argument('--sizes', nargs='+', metavar='HxW', help='only these sizes, as 512x1024')
    parser.add_argument('--student', nargs='+', default=[], metavar='NAME=FILE', help='more students, as mine=x.onnx')
    parser.add_argument('--models', type=Path, default=EXPORTED, help='exported networks')
    parser.add_argument('--out', type=Path, default=HERE, help='folder of the results')
    words = sys.argv[1:] if arguments is None else arguments
    asked = parser.parse_args(words)
    origin = origin_of(repeatable(COMMAND, words, VARIABLE))
    try:
        rows = [*chosen(asked.rows), *(student_row(text) for text in asked.student)]
        sizes = chosen_sizes(asked.sizes)
        require_distinct_places(rows, sizes)
        require_place(limits(rows, sizes, asked.rounds), asked.out, HERE)
        entries = prepare(rows, sizes, asked.models)
        document = measure(entries, asked.rounds, origin)
        write(document, asked.out)
    except CastError as error:
        print(f'Stopped: {error}', file=sys.stderr)
        return error.exit_code
    print(as_markdown(document))
    return 0


def chosen(names: Sequence[str] | None) -> list[Row]:
    """The rows of the table, or those of these names; the order is the table's."""
    unknown = sorted(set(names or ()) - {row.name for row in ROWS})
    if unknown:
        raise BenchmarkError(f'there is no row {", ".join(unknown)}; rows are {", ".join(row.name for row in ROWS)}')
    return [row for row in ROWS if names is None or row.name in names]


def chosen_sizes(texts: Sequence[str] | None) -> list[Size]:
    """The sizes of the table, or those that are written as HxW."""
    known = {f'{height}x{width}': (height, width) for height, width in SIZES}
    unknown = sorted(set(texts or ()) - set(known))
    if unknown:
        raise BenchmarkError(f'there is no size {", ".join(unknown)}; sizes are {", ".join(known)}')
    return [size for text, size in known.items() if texts is None or text in texts]


def limits(rows: Sequence[Row], sizes: Sequence[Size], rounds: int) -> dict[str, bool]:
    """By option, whether it leaves out something of the whole measurement."""
    return {
        '--rows': not {row.name for row in ROWS} <= {row.name for row in rows},
        '--sizes': not set(SIZES) <= set(sizes),
        '--rounds': rounds < ROUNDS,
    }


def student_row(text: str) -> Row:
    """A row from NAME=FILE; the size is the file's own input.

    Raises:
        BenchmarkError: not of that form, or there is no such file.
        StudentError: it is no student.
    """
    name, _, file = text.partition('=')
    path = Path(file)
    if not name or not path.is_file():
        raise BenchmarkError(f'{text!r} is not NAME=FILE with a file that exists')
    with Student.load(path) as student:
        contract = student.contract
    spec, precision = contract.input, contract.provenance.get('precision')
    note = f'ours, from {path.name}' + (f' in {precision}' if precision else '')
    return Row(name, 'student', note, sizes=((spec.height, spec.width),), file=path)


def require_distinct_places(rows: Sequence[Row], sizes: Sequence[Size]) -> None:
    """Refuse rows that would share a name, and so their times, and students that no table has a place for."""
    taken = [row.name for row in rows] + [pair.name for pair in PAIRS] + [GEMM]
    for row in rows:
        if taken.count(row.name) > 1:
            raise BenchmarkError(f'there are two rows {row.name}; give the student another name')
        if row.file is not None and not set(row.sizes) & set(sizes):
            raise BenchmarkError(
                f'{row.file}: takes {row.sizes[0][0]}x{row.sizes[0][1]}, which is not measured; sizes are '
                f'{", ".join(f"{height}x{width}" for height, width in sizes)}'
            )


def prepare(rows: Sequence[Row], sizes: Sequence[Size], models: Path) -> list[Entry]:
    """Export, count, and measure memory, each network by itself."""
    entries: list[Entry] = []
    wanted = [(row, size) for size in sizes for row in rows if size in row.sizes]
    graphs = {row.name: graph_digest(row) for row in rows}
    files = [export_missing(row, size, models) for row, size in wanted]
    peaks = dict.fromkeys(files, 0.0)
    for number, path in enumerate(peaks, start=1):
        print(f'\rMemory and cost of {number} of {len(peaks)} files ...', end='', flush=True)
        peaks[path] = peak_mb(path, THREADS)
    costs = {path: count_file(path) for path in peaks}
    print()
    for (row, size), path in zip(wanted, files, strict=True):
        entries.append(Entry(row, size, path, graphs[row.name], costs[path], peaks[path]))
    return entries


def measure(entries: Sequence[Entry], rounds: int, origin: Figures) -> Figures:
    """All rounds of all sizes; the networks of one size are loaded together, with the matrix product among them."""
    cv2.setNumThreads(THREADS)
    figures: list[Figures] = []
    gemm = GemmPeak(THREADS)
    gemm_times: list[CallTime] = []
    for size in dict.fromkeys(entry.size for entry in entries):
        here = [entry for entry in entries if entry.size == size]
        label = f'{size[0]}×{size[1]}'
        print(f'Loading {len(here)} networks at {label} ...', flush=True)
        networks = {entry.row.name: load(entry.row, size, entry.path, THREADS) for entry in here}
        times = interleaved(
            {**networks, GEMM: gemm},
            rounds,
            after_round=lambda number, label=label: print(f'{label}: round {number} of {rounds}', flush=True),
        )
        gemm_times += times.pop(GEMM)
        figures += [row_of(one.row, size, summary(times[one.row.name]), *_costs(one)) for one in here]
        # The sessions of this size make room for the next.
        del networks
        gc.collect()
    peak = gemm.gmacs_per_s(gemm_times)
    known = finished(figures, peak)
    networks = networks_of(((entry.row, entry.graph) for entry in entries), known)
    return document_of(origin, known, networks, THREADS, rounds, peak, onnxruntime.__version__)


def _costs(entry: Entry) -> tuple[float, float, float]:
    return entry.cost.parameters / 1e6, entry.cost.macs / 1e9, entry.peak_mb


def write(document: Figures, folder: Path) -> None:
    """Write the three files, each complete or not at all."""
    texts = {
        'results.json': json.dumps(document, indent=1, ensure_ascii=False) + '\n',
        'results.md': as_markdown(document),
        'results.svg': as_svg(document),
    }
    for name, text in texts.items():
        write_text(folder / name, text)


if __name__ == '__main__':
    sys.exit(main())
