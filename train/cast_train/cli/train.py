# SPDX-License-Identifier: Apache-2.0
"""`cast-train run`: whatever a recipe says, whichever its method; and its names of before, for one more release."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cast_train.errors import TrainingError

RecipeArgument = Annotated[
    Path, typer.Argument(help='Recipe (YAML), or the name of a shipped one: cast-train recipes lists them.')
]
SetOption = Annotated[list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')]
OutOption = Annotated[Path | None, typer.Option(help='Folder for all that is made; runs/NAME by default.')]
StoreOption = Annotated[
    Path | None, typer.Option(help='Folder of finished stages, which several runs may share; OUT/stages by default.')
]
ResumeOption = Annotated[
    bool, typer.Option('--resume', help='Go on with the run that OUT holds; without, such a folder is refused.')
]

OLD_VERBS = ('fit', 'cast', 'famda', 'swinmtl', 'fit-masks', 'fit-encoder')
# They had no flag: the same command went on.
ALWAYS_RESUMED = ('cast', 'famda', 'swinmtl')


def run(
    recipe: RecipeArgument,
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = False,
) -> None:
    """Train what a recipe says, by the method that it names, from its start to its end.

    After any stop the same command with --resume goes on at the last checkpoint; finished stages are not done again.
    """
    _run('run', recipe, out, store, overrides, resume)


def old_verb(name: str) -> Callable[..., None]:
    """A verb that `run` has taken the place of, with the options that it had."""

    def verb(
        recipe: RecipeArgument,
        out: OutOption = None,
        run: OutOption = None,
        store: StoreOption = None,
        overrides: SetOption = None,
        resume: ResumeOption = False,
    ) -> None:
        """Old name of `run`."""
        typer.echo(f'cast-train {name} is now cast-train run; the old name goes with release 0.3', err=True)
        if name != 'fit-encoder':
            _run(name, recipe, out, store, overrides, resume or name in ALWAYS_RESUMED)
            return
        (made,) = _run(name, recipe, run, store, overrides, resume).glob('*.safetensors')
        file = out or Path('weights') / made.name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, file)

    return verb


def _run(
    verb: str, asked: Path, out: Path | None, store: Path | None, overrides: list[str] | None, resume: bool
) -> Path:
    """Run a recipe, and return its folder.

    Raises:
        CastError: the recipe is wrong, or what it names is missing; for more, see the runners of the methods.
    """
    from cast_train.methods.registry import PLAIN, open_recipe, require_roots

    method, recipe = open_recipe(asked, tuple(overrides or ()), 'masks' if verb == 'fit-masks' else PLAIN)
    if method.run is None:
        raise TrainingError(f'{asked}: method {recipe.method} has a verb of its own: cast-train {recipe.method} --help')
    if not method.shares_work:
        require_one_process(verb)
    require_roots(recipe)
    folder = out or Path('runs') / recipe.name
    typer.echo(method.run(recipe, folder, store, resume, typer.echo))
    return folder


def require_one_process(verb: str) -> None:
    """Refuse the processes of ``torchrun``: all would do the same work, and write to the same files.

    Raises:
        TrainingError: several processes were started.
    """
    world = os.environ.get('WORLD_SIZE', '1')
    if world != '1':
        raise TrainingError(
            f'cast-train {verb} works in one process, but WORLD_SIZE is {world!r}; start it without torchrun, or unset '
            'WORLD_SIZE. Only recipes of method supervised and `cast-train label` share their work between processes'
        )
