# SPDX-License-Identifier: Apache-2.0
"""The command line `cast-train`: one module of this package per verb.

A verb imports torch inside its function: help and mistakes must not wait seconds for it.
"""

from __future__ import annotations

from cast_ros.cli import run


def main() -> None:
    """Entry point of `cast-train`."""
    run('cast-train', _cast_train, 'train')


def _cast_train() -> None:
    from cast_train.cli.app import build_app

    build_app()()
