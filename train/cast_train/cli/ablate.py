# SPDX-License-Identifier: Apache-2.0
"""`cast-train ablate`: a table of results, one cell after another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.cli.train import SetOption, require_one_process


def ablate(
    table: Annotated[Path, typer.Argument(help='Table (YAML), for example benchmarks/accuracy/cast_stages.yaml.')],
    out: Annotated[Path, typer.Option(help='Folder of NAME.json and NAME.md.')] = Path('benchmarks/accuracy'),
    store: Annotated[Path, typer.Option(help='Folder of finished stages, which tables share.')] = Path('runs/stages'),
    overrides: SetOption = None,
) -> None:
    """Fill a table; start the same command again to go on, or twice at once to use two cores."""
    require_one_process('ablate')
    from cast_train.methods.ablation import ablate as run_ablate
    from cast_train.methods.ablation import as_markdown, cells_of, load_table

    parsed = load_table(table)
    changes = tuple(overrides or ())
    command = ' '.join(['cast-train ablate', str(table), *(f"--set '{change}'" for change in changes)])
    document = run_ablate(parsed, cells_of(parsed, changes), store, out, command, typer.echo)
    typer.echo(as_markdown(document, parsed.name))
