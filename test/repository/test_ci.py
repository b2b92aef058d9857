# SPDX-License-Identifier: Apache-2.0
""".ci/run, with a make that only says what it was told to say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CLOSING_LINE = '18 passed, 1 skipped, 2 warnings in 65.11s (0:01:05)'


@pytest.mark.parametrize(
    ('lint_status', 'test_status', 'test_output', 'status', 'last_line'),
    [
        (0, 0, CLOSING_LINE, 0, CLOSING_LINE),
        (1, 0, CLOSING_LINE, 1, CLOSING_LINE),
        (0, 1, '1 failed, 17 passed in 3.00s', 1, '1 failed, 17 passed in 3.00s'),
        (0, 1, '=== 1 failed, 1 error in 3.00s ===', 1, '=== 1 failed, 1 error in 3.00s ==='),
        (0, 5, 'no tests ran in 0.01s', 1, 'no tests ran in 0.01s'),
        (0, 2, 'Set-up stopped: cmake is missing', 1, 'pytest did not reach its closing line.'),
    ],
)
def test_pytests_closing_line_comes_last_and_any_failure_counts(
    project_root: Path,
    tmp_path: Path,
    lint_status: int,
    test_status: int,
    test_output: str,
    status: int,
    last_line: str,
) -> None:
    make = tmp_path / 'make'
    make.write_text(
        '#!/bin/sh\n'
        f'[ "$1" = lint ] && exit {lint_status}\n'
        f'echo "{test_output}"\necho "make: *** [test] Error {test_status}" >&2\nexit {test_status}\n'
    )
    make.chmod(0o755)
    variables = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'}
    done = subprocess.run([project_root / '.ci' / 'run'], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == last_line
    assert done.returncode == status


@pytest.mark.parametrize('broken', ['default', 'own', 'rest'])
def test_a_failure_under_any_kernels_of_torch_is_told_last_and_counts(
    project_root: Path, tmp_path: Path, broken: str
) -> None:
    make = tmp_path / 'make'
    make.write_text(
        '#!/bin/sh\n'
        '[ "$1" = lint ] && exit 0\n'
        'case "$2" in PYTEST_ARGUMENTS=test/cast_train) run=${ATEN_CPU_CAPABILITY:-own};; *) run=rest;; esac\n'
        'echo "$run $2 $OMP_NUM_THREADS" >> "$(dirname "$0")/calls"\n'
        f'[ $run = {broken} ] && echo "1 failed in 1.00s" && exit 1\n'
        'echo "9 passed in 9.00s"\n'
    )
    make.chmod(0o755)
    variables = {name: value for name, value in os.environ.items() if name != 'OMP_NUM_THREADS'}
    # A value that somebody tries the sweep with is not that of the machine.
    variables |= {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'ATEN_CPU_CAPABILITY': 'avx2'}
    done = subprocess.run([project_root / '.ci' / 'run'], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == '1 failed in 1.00s'
    assert done.returncode == 1
    assert sorted((tmp_path / 'calls').read_text().splitlines()) == [
        'default PYTEST_ARGUMENTS=test/cast_train 1',
        'own PYTEST_ARGUMENTS=test/cast_train 1',
        'rest PYTEST_ARGUMENTS=--ignore=test/cast_train ',
    ]
