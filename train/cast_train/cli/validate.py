# SPDX-License-Identifier: Apache-2.0
"""`cast-train validate`: check a recipe completely, without training."""

from __future__ import annotations

import typer

from cast_train.cli.train import RecipeArgument, SetOption


def validate(recipe: RecipeArgument, overrides: SetOption = None) -> None:
    """Check keys, data, weights and sizes of a recipe and try one step; prints what was found, exit 2 if it is bad."""
    from cast_train.methods.registry import open_recipe, require_roots

    method, parsed = open_recipe(recipe, tuple(overrides or ()))
    require_roots(parsed)
    findings = method.check(parsed)
    width = max((len(finding.subject) for finding in findings), default=0)
    typer.echo(f'{recipe} is valid')
    for finding in findings:
        typer.echo(f'  {finding.subject:{width}}  {finding.text}')
