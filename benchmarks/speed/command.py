# SPDX-License-Identifier: Apache-2.0
"""What the command line asked for: as a line that does it again, and whether it may replace the committed tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.speed.errors import BenchmarkError


def repeatable(command: str, arguments: Sequence[str], variable: str = '') -> str:
    """The command with its arguments, quoted for a shell; ``make`` takes them in a variable."""
    if not arguments:
        return command
    words = shlex.join(arguments)
    return f'{command} {variable}={shlex.quote(words)}' if variable else f'{command} {words}'


def require_place(limits: Mapping[str, bool], out: Path, committed: Path) -> None:
    """Refuse to put a part of the measurement where the committed tables hold all of it.

    Args:
        limits: by name, whether an option leaves something out.
        out: folder of the results.
        committed: folder of the committed results.

    Raises:
        BenchmarkError: something was left out, and both folders are the same.
    """
    limiting = [name for name, is_limiting in limits.items() if is_limiting]
    if limiting and out.resolve() == committed.resolve():
        raise BenchmarkError(
            f'{committed} holds the whole measurement, and this one is limited by {" and ".join(limiting)}; '
            'name another folder with --out'
        )
