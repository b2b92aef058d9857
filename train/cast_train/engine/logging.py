# SPDX-License-Identifier: Apache-2.0
"""What a run tells: a progress bar with ETA, one JSON line per report, and TensorBoard events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import nan
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import yaml
from rich.console import Console
from rich.progress import TextColumn
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import Self

from cast_ros.files import write_text
from cast_train.engine.recipe import Plan
from cast_train.progress import progress_on


class Log:
    """Where a run reports to, of every rank but the first: nowhere. Use as a context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open."""

    def say(self, text: str) -> None:
        """Tell a sentence."""

    def step(
        self, step: int, losses: dict[str, float], learning_rate: float, pictures: int, waited_s: float, worked_s: float
    ) -> None:
        """Count one step.

        Args:
            step: its number.
            losses: terms, their total and the norm of the gradient; empty for a step that was skipped.
            learning_rate: of this step.
            pictures: that it learned from.
            waited_s: time it waited for its batch.
            worked_s: time it computed.
        """

    def observations(self, step: int, values: dict[str, float]) -> None:
        """Report what was seen at one step; nothing is reported of nothing."""

    def evaluation(self, step: int, metrics: dict[str, float]) -> None:
        """Report metrics on the validation part."""


class RunLog(Log):
    """Writes ``recipe.yaml``, ``log.jsonl`` and TensorBoard events into a run folder."""

    def __init__(self, run: Path, plan: Plan, document: Mapping[str, Any], first: int) -> None:
        run.mkdir(parents=True, exist_ok=True)
        (run / 'recipe.yaml').write_text(yaml.safe_dump(dict(document), sort_keys=False))
        self._plan = plan
        self._file = _open_log(run / 'log.jsonl', first)
        self._events = SummaryWriter(str(run / 'tensorboard'), purge_step=first)
        self._console = Console(stderr=True)
        self._bar = progress_on(self._console, TextColumn('{task.fields[status]}'))
        self._task = self._bar.add_task(plan.name, total=plan.total_steps, completed=first, status='')
        self._start_report()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._events.close()
        self._file.close()

    def say(self, text: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(
        self, step: int, losses: dict[str, float], learning_rate: float, pictures: int, waited_s: float, worked_s: float
    ) -> None:
        """Count one step; every ``log_every`` of them, report the means since the last report."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += bool(losses)
        self._pictures += pictures
        self._waited_s += waited_s
        self._worked_s += worked_s
        self._bar.update(self._task, completed=step + 1)
        if (step + 1) % self._plan.run.log_every:
            return
        means = {name: round(value / self._count, 6) for name, value in self._sums.items()}
        elapsed_s = self._waited_s + self._worked_s
        rate, loading = self._pictures / elapsed_s, self._waited_s / elapsed_s
        speed = {'pictures_per_s': round(rate, 2), 'loading_share': round(loading, 4), 'seconds': round(elapsed_s, 2)}
        self._write({'step': step + 1, 'learning_rate': learning_rate, **speed, **means})
        for name, value in (means | speed).items():
            self._events.add_scalar(f'train/{name}', value, step + 1)
        self._bar.update(self._task, status=f'loss {means.get("total", nan):.2f}  {rate:.1f} pictures/s')
        if not self._console.is_terminal:
            self.say(
                f'step {step + 1}/{self._plan.total_steps}  loss {means.get("total", nan):.2f}  '
                f'{rate:.1f} pictures/s, {100 * loading:.0f} % of the time waiting for them'
            )
        self._start_report()

    def observations(self, step: int, values: dict[str, float]) -> None:
        """Report what was seen at one step, on a line of its own."""
        if values:
            self._write({'step': step + 1, 'observed': {name: round(value, 5) for name, value in values.items()}})
        for name, value in values.items():
            self._events.add_scalar(f'observed/{name}', value, step + 1)

    def evaluation(self, step: int, metrics: dict[str, float]) -> None:
        """Report metrics on the validation part."""
        self._write({'step': step, 'validation': {name: round(value, 5) for name, value in metrics.items()}})
        for name, value in metrics.items():
            self._events.add_scalar(f'validation/{name}', value, step)
        self.say(f'step {step}  validation  ' + '  '.join(f'{name} {value:.3f}' for name, value in metrics.items()))

    def _start_report(self) -> None:
        self._sums: dict[str, float] = {}
        self._count, self._pictures = 0, 0
        self._waited_s, self._worked_s = 0.0, 0.0

    def _write(self, record: dict[str, object]) -> None:
        self._file.write(json.dumps(record) + '\n')
        self._file.flush()


def _open_log(path: Path, first: int) -> TextIO:
    """Open a log to go on after step ``first``: what a killed run had reported beyond that will be reported again."""
    kept = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            is_past = json.loads(line)['step'] <= first
        except ValueError:  # the last line of a killed run
            is_past = False
        if is_past:
            kept.append(f'{line}\n')
    write_text(path, ''.join(kept))
    return path.open('a')
