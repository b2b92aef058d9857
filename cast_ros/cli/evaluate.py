# SPDX-License-Identifier: Apache-2.0
"""`cast evaluate SCENARIOS.yaml`: bags with pass and fail, for the CI of a robot team."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

FAILED = 3


def evaluate(
    scenarios: Annotated[Path, typer.Argument(help='A YAML file of bags and criteria.', show_default=False)],
    out: Annotated[Path, typer.Option(help='Folder of the reports and of junit.xml.')] = Path('out/evaluate'),
) -> None:
    """Replay every bag of a file and judge its criteria; exit code 3 if one fails."""
    from cast_ros.offline.replay.scenarios import run_scenarios

    console = Console(highlight=False)
    verdicts = run_scenarios(scenarios, out, lambda line: console.print(line, markup=False))
    table = Table('scenario', 'student', 'figure', 'must be', 'is', '')
    for verdict in verdicts:
        value = '–' if verdict.value is None else f'{verdict.value:.4g}'
        mark = Text('passed', 'green') if verdict.passed else Text('FAILED', 'bold red')
        words = (verdict.scenario, verdict.student, verdict.figure, verdict.limits, value)
        table.add_row(*(Text(word) for word in words), mark)
    console.print(table)
    for problem in dict.fromkeys(verdict.problem for verdict in verdicts if verdict.problem):
        console.print(problem, markup=False)
    console.print(f'Reports and junit.xml are in {out}', markup=False, soft_wrap=True)
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(FAILED)
