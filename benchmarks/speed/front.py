# SPDX-License-Identifier: Apache-2.0
"""What accuracy costs: the students of a table (benchmarks/accuracy/family.yaml) against the milliseconds they take.

    python -m benchmarks.speed.front

Exports each architecture of the table with random weights, measures all in interleaved rounds, and sets the times
beside the table's figures. Writes front.json, front.md and front.svg beside this file.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from benchmarks.speed.command import repeatable, require_place
from benchmarks.speed.document import Figures, origin_of
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.exports import HERE, ROOT
from benchmarks.speed.front_page import as_markdown, as_svg
from benchmarks.speed.graph_cost import count_file
from benchmarks.speed.measure import interleaved, summary
from benchmarks.speed.networks import load
from benchmarks.speed.rows import LARGE, Row, Size
from benchmarks.speed.students import THING_IDS, contract_of
from cast_ros.errors import CastError
from cast_ros.files import write_text
from cast_train.data.cityscapes import CLASSES
from cast_train.engine.recipe import StudentSection
from cast_train.export.onnx import export_onnx
from cast_train.methods.ablation import cells_of, load_table
from cast_train.models import StudentNetwork

TABLE = ROOT / 'benchmarks' / 'accuracy' / 'family.yaml'
THREADS, ROUNDS, REFERENCE = 2, 25, 'small'
# A metric, and whether more of it is better.
METRICS = {'ap': True, 'miou': True, 'abs_rel': False}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--table', type=Path, default=TABLE, help='YAML of the table; its JSON lies beside it')
    parser.add_argument('--size', default='x'.join(map(str, LARGE[0])), metavar='HxW', help='of the pictures')
    parser.add_argument('--rounds', type=int, default=ROUNDS, help='interleaved rounds')
    parser.add_argument('--out', type=Path, default=HERE, help='folder of the results')
    words = sys.argv[1:] if arguments is None else arguments
    asked = parser.parse_args(words)
    origin = origin_of(repeatable('python -m benchmarks.speed.front', words))
    try:
        height, width = size_of(asked.size)
        limits = {'--rounds': asked.rounds < ROUNDS, '--table': asked.table.resolve() != TABLE}
        limits['--size'] = (height, width) != LARGE[0]
        require_place(limits, asked.out, HERE)
        accuracy = accuracy_of(asked.table.with_suffix('.json'))
        times = measured(sections_of(asked.table), (height, width), asked.rounds)
        known = {'threads': THREADS, 'rounds': asked.rounds, 'onnxruntime': onnxruntime.__version__}
        document = {**origin, **known, 'size': [height, width], 'rows': front(times, accuracy)}
        texts = {'front.json': json.dumps(document, indent=1) + '\n', 'front.md': as_markdown(document)}
        for name, text in {**texts, 'front.svg': as_svg(document)}.items():
            write_text(asked.out / name, text)
    except CastError as error:
        print(f'Stopped: {error}', file=sys.stderr)
        return error.exit_code
    print(as_markdown(document))
    return 0


def size_of(text: str) -> Size:
    """Height and width from HxW.

    Raises:
        BenchmarkError: it is not of that form.
    """
    given = re.fullmatch(r'(\d{1,5})x(\d{1,5})', text)
    if given is None:
        raise BenchmarkError(f'--size must be height x width, such as 512x1024, not {text!r}')
    return int(given[1]), int(given[2])


def sections_of(path: Path) -> dict[str, StudentSection]:
    """The student of every row of a table.

    Raises:
        RecipeError: the table or its recipe cannot be read.
    """
    table = load_table(path)
    return {table.rows[cell.row].name: cell.recipe.student for cell in cells_of(table)}


def accuracy_of(path: Path) -> dict[str, dict[str, float]]:
    """The means over the seeds of what a finished table says.

    Raises:
        BenchmarkError: there is no such file, or a row was not judged by all of the metrics.
    """
    if not path.is_file():
        raise BenchmarkError(f'{path} is missing; `cast-train ablate {path.with_suffix(".yaml")}` makes it')
    rows = json.loads(path.read_text(encoding='utf-8'))['rows']
    partly = [row['name'] for row in rows if not METRICS.keys() <= row['metrics'].keys()]
    if partly:
        raise BenchmarkError(f'{path}: {", ".join(partly)} lack one of {", ".join(METRICS)}; take a table that has all')
    return {row['name']: {key: statistics.mean(row['metrics'][key]) for key in METRICS} for row in rows}


def measured(sections: Mapping[str, StudentSection], size: Size, rounds: int) -> dict[str, Figures]:
    """Times and costs of every student, all in the same rounds."""
    with tempfile.TemporaryDirectory() as folder:
        networks, costs = {}, {}
        for place, (name, section) in enumerate(sections.items()):
            path = Path(folder) / f'{place}.onnx'
            torch.manual_seed(0)
            student = StudentNetwork(section.architecture, len(CLASSES), THING_IDS).eval()
            export_onnx(student, contract_of(section.size, *size), path)
            costs[name] = count_file(path)
            networks[name] = load(Row(name, 'student', file=path), size, path, THREADS)
        times = interleaved(networks, rounds)
    return {
        name: {**summary(times[name]), 'params_m': cost.parameters / 1e6, 'gmacs': cost.macs / 1e9}
        for name, cost in costs.items()
    }


def front(times: Mapping[str, Figures], accuracy: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Rows from the fastest to the slowest, each with its ratio to `small` and who is better in everything.

    Raises:
        BenchmarkError: a row of the table has not been trained yet.
    """
    missing = [name for name in times if name not in accuracy]
    if missing:
        raise BenchmarkError(f'the table has no figures of {", ".join(missing)} yet')
    rows: list[dict[str, Any]] = []
    for name, figures in sorted(times.items(), key=lambda one: float(one[1]['p50_ms'])):
        row = {
            'name': name,
            **{key: round(value, 3) for key, value in figures.items()},
            'ratio_to_small': round(figures['p50_ms'] / times[REFERENCE]['p50_ms'], 3) if REFERENCE in times else None,
            **accuracy[name],
        }
        rows.append({**row, 'dominated_by': next((one['name'] for one in rows if _is_as_good(one, row)), None)})
    return rows


def _is_as_good(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[key] >= other[key] if more else one[key] <= other[key] for key, more in METRICS.items())


if __name__ == '__main__':
    sys.exit(main())
