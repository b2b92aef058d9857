# SPDX-License-Identifier: Apache-2.0
"""A run that is told to stop ends between two steps, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from cast_train.errors import TrainingError


class StoppedError(TrainingError):
    """A signal ended the run between two steps; its checkpoint is written."""

    def __init__(self, number: int, where: str) -> None:
        name = signal.Signals(number).name
        super().__init__(f'{where} on {name}; the checkpoint is written, go on with the same command and --resume')
        self.exit_code = 128 + number


class StopSignals:
    """Notes SIGTERM and SIGINT instead of dying of them; a second one acts at once. Use as a context manager.

    Attributes:
        received: the signal, or 0.
    """

    def __init__(self) -> None:
        self.received = 0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                former = signal.getsignal(number)
                # Ignored on purpose, as a shell does for what it starts in the background: leave it so.
                if former is not signal.SIG_IGN:
                    self._former[number] = former
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._give_back()

    def _give_back(self) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former = {}
