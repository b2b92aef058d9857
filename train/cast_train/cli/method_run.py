# SPDX-License-Identifier: Apache-2.0
"""What the verbs that run a whole method share: their options, and where the run goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cast_train.errors import TrainingError

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
    """Run a checked recipe in its folder, and say where the student is.

    Raises:
        TrainingError: several processes were started.
    """
    require_one_process(recipe.method)
    folder = out or Path('runs') / recipe.name
    student = run(recipe, folder, store or folder / 'stages', typer.echo)
    typer.echo(
        f'{student}: look at it with `cast inspect {student}`; what made it stands in {folder / "manifest.json"}'
    )


def require_one_process(verb: str) -> None:
    """Refuse the processes of ``torchrun``: all would do the same work, and write to the same files.

    Raises:
        TrainingError: several processes were started.
    """
    world = os.environ.get('WORLD_SIZE', '1')
    if world != '1':
        raise TrainingError(
            f'cast-train {verb} works in one process, but WORLD_SIZE is {world!r}; start it without torchrun, or unset '
            'WORLD_SIZE. Only `cast-train fit` and `cast-train label` share their work between processes'
        )
