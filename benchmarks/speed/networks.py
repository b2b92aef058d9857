# SPDX-License-Identifier: Apache-2.0
"""Networks that are loaded and ready: each call runs one on a picture and then post-processes the drawn scene."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from benchmarks.speed.postprocess import SCORE_THRESHOLD, enlarge_depth, paint_detr, paint_queries, paint_yolo
from benchmarks.speed.rows import Row, Size
from benchmarks.speed.scene import Scene
from cast_ros.student import Student
from cast_ros.student.loading import open_student, session_options
from cast_ros.student.providers import CPU, LoadOptions

YOLO_CLASSES = 80

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class CallTime:
    """One call, in milliseconds: the session alone, and everything else."""

    network_ms: float
    post_ms: float

    @property
    def total_ms(self) -> float:
        """Both."""
        return self.network_ms + self.post_ms


class Timed(Protocol):
    """Something that can be called again and again."""

    def call(self) -> CallTime:
        """Do it once."""
        ...


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session as ``cast_ros`` opens it; peers get no other options than our students."""
    return onnxruntime.InferenceSession(str(path), session_options(threads), providers=[CPU])


def load(row: Row, size: Size, path: Path, threads: int) -> Timed:
    """The network of a row, warmed up by one run."""
    return _StudentCall(path, size, threads) if row.family == 'student' else _PeerCall(row, size, path, threads)


class _AnsweringSession:
    """Runs a student's session and answers the drawn scene instead, so that the student paints real objects."""

    def __init__(self, session: onnxruntime.InferenceSession, answer: Arrays) -> None:
        self._session = session
        self._answer = answer
        self.last_ms = 0.0

    def run(self, names: list[str], feed: Arrays) -> list[npt.NDArray[Any]]:
        started = time.perf_counter()
        self._session.run(names, feed)
        self.last_ms = (time.perf_counter() - started) * 1e3
        return [self._answer[name] for name in names]

    def get_outputs(self) -> list[Any]:
        return list(self._session.get_outputs())

    def get_providers(self) -> list[str]:
        return list(self._session.get_providers())


class _StudentCall:
    """``Student.predict`` as a robot calls it; taking in the picture counts as post-processing."""

    def __init__(self, path: Path, size: Size, threads: int) -> None:
        opened = open_student(path, LoadOptions(threads=threads))
        shapes = {node.name: tuple(node.shape) for node in opened.session.get_outputs()}
        answer = Scene(*size).student(shapes, opened.contract.thing_ids)
        self._session = _AnsweringSession(opened.session, answer)
        session: Any = self._session
        self._student = Student(path, opened.sha256, opened.contract, session)
        self._picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        self.call()

    def call(self) -> CallTime:
        started = time.perf_counter()
        self._student.predict(self._picture, score_threshold=SCORE_THRESHOLD)
        total_ms = (time.perf_counter() - started) * 1e3
        return CallTime(self._session.last_ms, total_ms - self._session.last_ms)


class _PeerCall:
    """A network of other people. Its float input is ready before the clock starts, to its advantage."""

    def __init__(self, row: Row, size: Size, path: Path, threads: int) -> None:
        self._session = open_session(path, threads)
        picture = np.random.default_rng(0).random((1, 3, *row.input_of(size)), dtype=np.float32)
        self._feed = {'picture': picture}
        # From an answer, since exporters leave some shapes open that are in fact fixed.
        names = [node.name for node in self._session.get_outputs()]
        answers = self._session.run(names, self._feed)
        self._finish = _finisher(row, size, {name: one.shape for name, one in zip(names, answers, strict=True)})

    def call(self) -> CallTime:
        started = time.perf_counter()
        self._session.run(None, self._feed)
        answered = time.perf_counter()
        self._finish()
        finished = time.perf_counter()
        return CallTime((answered - started) * 1e3, (finished - answered) * 1e3)


def _finisher(row: Row, size: Size, shapes: dict[str, tuple[int, ...]]) -> Callable[[], object]:
    """The post-processing of a family on the drawn scene, as a function without arguments."""
    scene = Scene(*size)
    if row.family == 'yolo':
        detections, prototypes = scene.yolo(shapes['detections'], shapes['prototypes'], YOLO_CLASSES)
        return lambda: paint_yolo(detections[0], prototypes[0], size, YOLO_CLASSES)
    if row.family == 'depth':
        depth = np.random.default_rng(0).random(shapes['depth'], dtype=np.float32)
        return lambda: enlarge_depth(depth[0], size)
    draw, paint = {'queries': (scene.queries, paint_queries), 'detr': (scene.detr, paint_detr)}[row.family]
    classes, masks = draw(shapes['class_logits'], shapes['mask_logits'])
    return lambda: paint(classes[0], masks[0], size)
