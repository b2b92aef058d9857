# SPDX-License-Identifier: Apache-2.0
"""`cast-train fit-encoder`: a small backbone learns a pretrained one's features, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cast_train.cli.method_run import require_one_process


def fit_encoder(
    recipe: Annotated[Path, typer.Argument(help='Recipe (YAML), for example config/recipes/streets-encoder.yaml.')],
    out: Annotated[Path | None, typer.Option(help='The safetensors file to write; weights/NAME by default.')] = None,
    run: Annotated[Path | None, typer.Option(help='Run folder; runs/NAME by default.')] = None,
    overrides: Annotated[
        list[str] | None, typer.Option('--set', help='Change a value: key.sub=value; may be repeated.')
    ] = None,
    resume: Annotated[bool, typer.Option('--resume', help='Go on where the run folder stopped.')] = False,
) -> None:
    """Pretrain the backbone of a student on pictures without labels."""
    require_one_process('fit-encoder')
    from cast_train.methods.encoder import fit_encoder as run_fit_encoder
    from cast_train.methods.encoder import load_encoder_recipe

    parsed = load_encoder_recipe(recipe, tuple(overrides or ()))
    file = out or Path('weights') / f'{parsed.name}.safetensors'
    run_fit_encoder(parsed, run or Path('runs') / parsed.name, file, resume)
    typer.echo(f'{file}: use it with --set student.backbone_weights={file}')
