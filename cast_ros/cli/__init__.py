# SPDX-License-Identifier: Apache-2.0
"""The command line `cast`: one module of this package per verb.

A verb's module is imported on every call, so at its top it imports only what the extra `offline` brings; ROS, for one,
is imported inside its function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from cast_ros.errors import CastError
from cast_ros.libraries import require
from cast_ros.package_files import how_to_install


def main() -> None:
    """Entry point of `cast`."""
    run('cast', _cast, 'offline')


def run(program: str, command: Callable[[], None], extra: str) -> None:
    """Run a command line; what a person can act on is one line on stderr and an exit code.

    Args:
        program: its name.
        command: imports what it needs, and runs.
        extra: that brings the libraries which it imports.
    """
    try:
        require()
        command()
    except CastError as error:
        print(f'{program}: {" ".join(str(error).split())}', file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or '').partition('.')[0] in ('cast_ros', 'cast_train'):
            raise
        print(f"{program}: needs the extra '{extra}' ({error}): {how_to_install(extra)}", file=sys.stderr)
        sys.exit(CastError.exit_code)


def _cast() -> None:
    from cast_ros.cli.app import build_app

    build_app()()
