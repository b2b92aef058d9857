# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from cast_ros.nodes import frame_worker
from cast_ros.nodes.frame_worker import FrameWorker

DEADLINE_S = 10.0


def test_the_newest_frame_is_worked_on_and_those_before_it_are_superseded() -> None:
    started, gate, finished = threading.Event(), threading.Event(), threading.Event()
    done: list[int] = []
    superseded: list[int] = []

    def process(frame: int) -> None:
        started.set()
        assert gate.wait(DEADLINE_S)
        done.append(frame)
        if frame == 4:
            finished.set()

    worker = FrameWorker(process, superseded.append)
    worker.start()
    worker.offer(1)
    assert started.wait(DEADLINE_S)
    for frame in (2, 3, 4):
        worker.offer(frame)
    gate.set()
    assert finished.wait(DEADLINE_S)
    worker.stop()
    assert (done, superseded) == ([1, 4], [2, 3])


def test_stop_waits_for_the_frame_in_work_and_forgets_the_waiting_one() -> None:
    started, gate = threading.Event(), threading.Event()
    done: list[int] = []

    def process(frame: int) -> None:
        started.set()
        assert gate.wait(DEADLINE_S)
        done.append(frame)

    worker = FrameWorker(process, lambda frame: None)
    worker.start()
    worker.offer(1)
    assert started.wait(DEADLINE_S)
    worker.offer(2)
    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    gate.set()
    stopper.join(DEADLINE_S)
    assert not stopper.is_alive()
    assert done == [1]


def test_stop_without_a_start_or_twice_is_harmless() -> None:
    worker = FrameWorker(lambda frame: None, lambda frame: None)
    worker.stop()
    worker.start()
    worker.stop()
    worker.stop()


def test_a_frame_that_never_ends_is_an_error_and_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_worker, 'STOP_TIMEOUT_S', 0.05)
    started, gate = threading.Event(), threading.Event()

    def process(frame: int) -> None:
        started.set()
        gate.wait(DEADLINE_S)

    worker = FrameWorker(process, lambda frame: None)
    worker.start()
    worker.offer(1)
    assert started.wait(DEADLINE_S)
    with pytest.raises(TimeoutError, match='did not finish'):
        worker.stop()
    gate.set()
