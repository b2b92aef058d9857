# SPDX-License-Identifier: Apache-2.0
"""Rules about the files themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

LICENCE_LINE = '# SPDX-License-Identifier: Apache-2.0'
FIRST_LINES = 2  # a script begins with its interpreter


@pytest.fixture(scope='module')
def tracked(project_root: Path) -> list[Path]:
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip('not a git work tree')
    return [project_root / name for name in done.stdout.splitlines() if (project_root / name).is_file()]


def test_every_python_file_names_its_licence_first(tracked: list[Path]) -> None:
    sources = [path for path in tracked if path.suffix == '.py' and path.stat().st_size > 0]
    assert sources
    unlicensed = [
        path for path in sources if LICENCE_LINE not in path.read_text(encoding='utf-8').splitlines()[:FIRST_LINES]
    ]
    assert unlicensed == []


def test_test_folders_are_no_packages(tracked: list[Path], project_root: Path) -> None:
    # With importlib mode two tests may have one name in different folders; an __init__.py would undo that.
    assert [path for path in tracked if path.name == '__init__.py' and path.is_relative_to(project_root / 'test')] == []


def test_no_large_file_but_the_drive_the_students_and_what_tables_start_from(
    tracked: list[Path], project_root: Path
) -> None:
    # .pt: three networks in half precision that no recipe of the tables could be run without for an hour and a half.
    limits = {'.mcap': 8_000_000, '.onnx': 20_000_000, '.pt': 9_000_000}
    too_large = [
        path.relative_to(project_root) for path in tracked if path.stat().st_size > limits.get(path.suffix, 1_000_000)
    ]
    assert too_large == []
    weights = [path.relative_to(project_root).parent for path in tracked if path.suffix == '.pt']
    assert set(weights) <= {Path('benchmarks/accuracy/start')}
