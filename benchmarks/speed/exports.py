# SPDX-License-Identifier: Apache-2.0
"""Each row as one ONNX file below out/, made once for each state of the sources that it is made from.

    python -m benchmarks.speed.exports

prints the digest of the code that each of our students is made from: where a table names another, it is of an older
graph.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.peers.registry import NETWORKS
from benchmarks.speed.rows import ROWS, Row, Size

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXPORTED = ROOT / 'out' / 'speed' / 'models'
PEERS_PYTHON = ROOT / '.venv-peers' / 'bin' / 'python'
STUDENT_SOURCES = (HERE / 'students.py', ROOT / 'train/cast_train/export/onnx.py')
QUANTISER_SOURCES = (HERE / 'quantised.py', ROOT / 'train/cast_train/export/quantisation.py')
STUDENT_MODELS = ROOT / 'train/cast_train/models'
PEER_REQUIREMENTS = ('constraints-peers.txt', 'peers-without-dependencies.txt')


def export_missing(row: Row, size: Size, folder: Path) -> Path:
    """The row's file for a picture size; exported if it is not there, which takes up to two minutes.

    Raises:
        BenchmarkError: there is no environment for peers, or the exporter failed.
    """
    if row.file is not None:
        return row.file
    height, width = row.input_of(size)
    stem = f'{row.exporter_name}{"-int8" if row.is_int8 else ""}-{height}x{width}'
    path = folder / f'{stem}-{graph_digest(row)}.onnx'
    if not path.exists():
        made_of = _made_of(row, size, folder)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f'{stem}-*.onnx'):
            old.unlink()
        print(f'Exporting {stem} ...', flush=True)
        _run([*_exporter(row), *made_of, str(path)], stem)
    return path


def graph_digest(row: Row) -> str:
    """Which state of the sources a row's graph is made from; of a file that exists already, the file itself."""
    return _digest(_sources(row) if row.file is None else [row.file])


def _made_of(row: Row, size: Size, folder: Path) -> list[str]:
    """What the exporter is told before the path: architecture and size, or the float file that is quantised."""
    if row.is_int8:
        return [str(export_missing(replace(row, is_int8=False), size, folder))]
    height, width = row.input_of(size)
    return [row.exporter_name, str(height), str(width)]


def _exporter(row: Row) -> list[str]:
    if row.family == 'student':
        return [sys.executable, '-m', f'benchmarks.speed.{"quantised" if row.is_int8 else "students"}']
    if not PEERS_PYTHON.exists():
        raise BenchmarkError(f'{PEERS_PYTHON} is missing: run `make bench-speed`, which makes it')
    return [str(PEERS_PYTHON), '-m', 'benchmarks.speed.peers.export']


def _run(command: list[str], stem: str) -> None:
    # ultralytics keeps settings in the home folder and looks for a network, unless it is told not to.
    variables = {**os.environ, 'YOLO_CONFIG_DIR': str(ROOT / 'out' / 'ultralytics'), 'YOLO_OFFLINE': 'true'}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f'{stem} does not export; `{" ".join(command)}` says:\n{done.stderr[-3000:]}')


def _sources(row: Row) -> list[Path]:
    """What decides the content of the file; a change of it exports again."""
    models = sorted(STUDENT_MODELS.glob('*.py'))
    if row.family == 'student':
        return [*STUDENT_SOURCES, *(QUANTISER_SOURCES if row.is_int8 else ()), *models]
    module = NETWORKS[row.exporter_name][0]
    own = [HERE / 'peers' / f'{module}.py', HERE / 'peers' / 'export.py']
    own += [ROOT / 'requirements' / name for name in PEER_REQUIREMENTS]
    return own + (models if module == 'cast_dinov2' else [])


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b'\0' + path.read_bytes() + b'\0')
    return digest.hexdigest()[:8]


def main() -> None:
    """Print a line for each of our students."""
    for row in ROWS:
        if row.family == 'student':
            print(f'{row.name} {graph_digest(row)}')


if __name__ == '__main__':
    main()
