# SPDX-License-Identifier: Apache-2.0
"""The application `cast-train` with all its verbs."""

from __future__ import annotations

import typer


def build_app() -> typer.Typer:
    """The application with all its verbs."""
    from cast_train.cli.ablate import ablate
    from cast_train.cli.backbone import backbone
    from cast_train.cli.evaluate import evaluate
    from cast_train.cli.export import export
    from cast_train.cli.import_bag import import_bag
    from cast_train.cli.label import label
    from cast_train.cli.night import night
    from cast_train.cli.recipes import recipes
    from cast_train.cli.statistics import statistics
    from cast_train.cli.streets import app as streets
    from cast_train.cli.train import OLD_VERBS, old_verb, run
    from cast_train.cli.validate import validate

    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_cast_train)
    for verb in (
        run,
        validate,
        recipes,
        night,
        ablate,
        backbone,
        label,
        import_bag,
        evaluate,
        export,
        statistics,
    ):
        app.command()(verb)
    for name in OLD_VERBS:
        app.command(name, hidden=True)(old_verb(name))
    app.add_typer(streets, name='streets')
    return app


def _cast_train() -> None:
    """Train, judge and export students for cast_ros."""
