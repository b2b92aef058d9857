# SPDX-License-Identifier: Apache-2.0
"""The command line `cast-train`: one module of this package per verb.

A verb imports torch inside its function: help and mistakes must not wait seconds for it.
"""

from __future__ import annotations

import typer

from cast_ros.cli import run


def build_app() -> typer.Typer:
    """The application with all its verbs."""
    from cast_train.cli.ablate import ablate
    from cast_train.cli.backbone import backbone
    from cast_train.cli.cast import cast
    from cast_train.cli.evaluate import evaluate
    from cast_train.cli.export import export
    from cast_train.cli.famda import famda
    from cast_train.cli.fit import fit
    from cast_train.cli.fit_encoder import fit_encoder
    from cast_train.cli.fit_masks import fit_masks
    from cast_train.cli.import_bag import import_bag
    from cast_train.cli.label import label
    from cast_train.cli.night import night
    from cast_train.cli.statistics import statistics
    from cast_train.cli.streets import app as streets
    from cast_train.cli.swinmtl import swinmtl
    from cast_train.cli.validate import validate

    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_cast_train)
    for verb in (
        fit,
        cast,
        famda,
        swinmtl,
        night,
        ablate,
        fit_masks,
        fit_encoder,
        backbone,
        label,
        import_bag,
        evaluate,
        export,
        statistics,
        validate,
    ):
        app.command()(verb)
    app.add_typer(streets, name='streets')
    return app


def main() -> None:
    """Entry point of `cast-train`."""
    run('cast-train', lambda: build_app()(), 'train')


def _cast_train() -> None:
    """Train, judge and export students for cast_ros."""
