# SPDX-License-Identifier: Apache-2.0
"""The application `cast` with all its verbs."""

from __future__ import annotations

from typing import Annotated

import typer

import cast_ros


def build_app() -> typer.Typer:
    """The application with all its verbs."""
    from cast_ros.cli.bag import app as bag
    from cast_ros.cli.bench import app as bench
    from cast_ros.cli.calibrate_depth import calibrate_depth
    from cast_ros.cli.evaluate import evaluate
    from cast_ros.cli.inspect import inspect
    from cast_ros.cli.overlay import overlay
    from cast_ros.cli.replay import replay
    from cast_ros.cli.warm import warm

    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_cast)
    for verb in (inspect, overlay, replay, evaluate, calibrate_depth, warm):
        app.command()(verb)
    app.add_typer(bench, name='bench')
    app.add_typer(bag, name='bag')
    return app


def _cast(
    version: Annotated[
        bool, typer.Option('--version', is_eager=True, callback=lambda wanted: _print_version(wanted), help='Print it.')
    ] = False,
) -> None:
    """Masks, a semantic map and depth from one small network, for ROS 2."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f'cast_ros {cast_ros.__version__}')
        raise typer.Exit
