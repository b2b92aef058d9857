# SPDX-License-Identifier: Apache-2.0
"""How far a long command is, and when it will be done."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_on(console: Console) -> Progress:
    """Bars with counts, elapsed time and ETA; nothing where the console is no terminal."""
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('ETA'),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
