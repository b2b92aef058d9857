# SPDX-License-Identifier: Apache-2.0
"""How far a long command is, and when it will be done."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_on(console: Console, *more: ProgressColumn) -> Progress:
    """Bars with counts, elapsed time, ETA and ``more``; nothing where the console is no terminal."""
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('ETA'),
        TimeRemainingColumn(),
        *more,
        console=console,
        disable=not console.is_terminal,
    )
