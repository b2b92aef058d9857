# SPDX-License-Identifier: Apache-2.0
"""What the verbs that run a whole method share: their options, and where the run goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

OutOption = Annotated[Path | None, typer.Option(help='Run folder; runs/NAME by default.')]
StoreOption = Annotated[
    Path | None, typer.Option(help='Folder of finished stages, which several runs may share; OUT/stages by default.')
]
SetOption = Annotated[list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')]


def run_method(
    recipe: Any,
    run: Callable[[Any, Path, Path, Callable[[str], None]], Path],
    out: Path | None,
    store: Path | None,
) -> None:
    """Run a checked recipe in its folder, and say where the student is."""
    folder = out or Path('runs') / recipe.name
    student = run(recipe, folder, store or folder / 'stages', typer.echo)
    typer.echo(
        f'{student}: look at it with `cast inspect {student}`; what made it stands in {folder / "manifest.json"}'
    )
