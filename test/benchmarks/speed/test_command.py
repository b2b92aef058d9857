# SPDX-License-Identifier: Apache-2.0
"""The command that results name, and which measurement may replace the committed tables."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks.speed import run
from benchmarks.speed.command import repeatable, require_place
from benchmarks.speed.errors import BenchmarkError
from benchmarks.speed.rows import ROWS, SIZES, Row


def test_a_command_without_arguments_is_itself() -> None:
    assert repeatable('make bench-speed', [], 'BENCH_ARGUMENTS') == 'make bench-speed'


def test_arguments_stand_as_a_shell_takes_them() -> None:
    assert repeatable('python -m x', ['--out', 'my folder']) == "python -m x --out 'my folder'"
    line = repeatable('make bench-speed', ['--student', "a=it's.onnx"], 'BENCH_ARGUMENTS')
    make, target, variable = shlex.split(line)
    assert (make, target) == ('make', 'bench-speed')
    assert shlex.split(variable.removeprefix('BENCH_ARGUMENTS=')) == ['--student', "a=it's.onnx"]


def test_only_a_whole_measurement_goes_where_the_committed_tables_are(tmp_path: Path) -> None:
    require_place({'--rows': False}, tmp_path, tmp_path)
    require_place({'--rows': True}, tmp_path / 'other', tmp_path)
    with pytest.raises(BenchmarkError, match=r'limited by --rows and --sizes; name another folder'):
        require_place({'--rows': True, '--rounds': False, '--sizes': True}, tmp_path / 'other' / '..', tmp_path)


def test_what_limits_a_measurement() -> None:
    nothing = {'--rows': False, '--sizes': False, '--rounds': False}
    assert run.limits(ROWS, SIZES, run.ROUNDS) == nothing
    assert run.limits([*ROWS, Row('mine', 'student')], SIZES, run.ROUNDS + 1) == nothing
    assert run.limits(ROWS[:1], SIZES, run.ROUNDS) == {**nothing, '--rows': True}
    assert run.limits(ROWS, SIZES[:1], run.ROUNDS) == {**nothing, '--sizes': True}
    assert run.limits(ROWS, SIZES, run.ROUNDS - 1) == {**nothing, '--rounds': True}


@pytest.mark.parametrize(
    'arguments',
    [['--rows', 'small'], ['--sizes', '256x512'], ['--rounds', '1'], ['--rounds', '1', '--out', str(run.HERE)]],
)
def test_a_part_does_not_replace_the_committed_table(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = (run.HERE / 'results.json').read_bytes()
    assert run.main(arguments) == 2
    said = capsys.readouterr().err
    assert f'limited by {arguments[0]}; name another folder with --out' in said
    assert said.count('\n') == 1
    assert (run.HERE / 'results.json').read_bytes() == before


def test_results_name_the_arguments_that_they_were_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    def measure(entries: list[run.Entry], rounds: int, origin: run.Figures) -> run.Figures:
        commands.append(origin['command'])
        raise BenchmarkError('enough')

    monkeypatch.setattr(run, 'prepare', lambda *_: [])
    monkeypatch.setattr(run, 'measure', measure)
    assert run.main(['--rows', 'small', '--out', str(tmp_path)]) == 2
    assert run.main([]) == 2
    assert commands == [f"make bench-speed BENCH_ARGUMENTS='--rows small --out {tmp_path}'", 'make bench-speed']
