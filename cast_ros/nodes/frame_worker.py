# SPDX-License-Identifier: Apache-2.0
"""One thread that always works on the newest frame."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Frame = TypeVar('Frame')

STOP_TIMEOUT_S = 10.0


class FrameWorker(Generic[Frame]):
    """Runs `process` on the newest frame offered, in a thread of its own, so that services answer during an inference.

    There is one waiting place. A frame that finds it taken replaces the one in it, which goes to `superseded`: the
    answer is then as fresh as the machine allows, and nothing queues up.
    """

    def __init__(self, process: Callable[[Frame], None], superseded: Callable[[Frame], None]) -> None:
        """`process` must not raise; `superseded` is called in the thread that offers."""
        self._process = process
        self._superseded = superseded
        self._waiting: Frame | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name='perception', daemon=True)

    def start(self) -> None:
        """Begin to work; frames may be offered before."""
        self._thread.start()

    def offer(self, frame: Frame) -> None:
        """Hand over a frame without waiting."""
        with self._changed:
            replaced, self._waiting = self._waiting, frame
            self._changed.notify()
        if replaced is not None:
            self._superseded(replaced)

    def stop(self) -> None:
        """Let the frame in work finish, drop the waiting one, end the thread.

        Raises:
            TimeoutError: the frame in work did not finish within 10 s.
        """
        with self._changed:
            self._stopping = True
            self._waiting = None
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
            if self._thread.is_alive():
                raise TimeoutError(f'the frame in work did not finish within {STOP_TIMEOUT_S:.0f} s')

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._waiting is not None)
                if self._stopping:
                    return
                frame, self._waiting = self._waiting, None
            if frame is not None:
                self._process(frame)
