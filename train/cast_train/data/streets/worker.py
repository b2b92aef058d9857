# SPDX-License-Identifier: Apache-2.0
"""Renders the missing frames of one scene, in a process of its own."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from cast_ros.errors import CastError
from cast_train.data.streets.frames import save_frame
from cast_train.data.streets.jobs import SceneJob
from cast_train.data.streets.labels import encode_depth, encode_labels
from cast_train.data.streets.sensor import Sensor
from cast_train.data.streets.weather import show

STDOUT, STDERR = 1, 2


def work(job: SceneJob, log: Path, results: Connection) -> None:
    """Render a scene in this process; send the number of each finished frame, or the message of an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    _redirect_output(log)
    try:
        for number in render_missing(job):
            results.send(number)
    except CastError as error:
        results.send(str(error))
    finally:
        results.close()


def render_missing(job: SceneJob) -> Iterator[int]:
    """Render what is not there yet and yield the number of each new frame. Blender keeps the scene afterwards.

    Raises:
        DataError: a file cannot be written.
    """
    from cast_train.data.streets.blender.stage import RenderedStage

    quality = job.options.quality
    scene, frames = job.scene(), job.frames()
    stage = RenderedStage(scene, quality)
    sensor = Sensor(job.seed, job.night, quality.height_px, quality.width_px)
    with tempfile.TemporaryDirectory() as scratch:
        for frame in frames:
            stage.advance(frame)
            draw = sensor.draw()  # for a finished frame too, or the noise of the next would differ
            if job.files(frame).is_finished():
                continue
            passes = stage.render(Path(scratch))
            seen = show(passes.bgr, passes.depth_m, job.weather, job.night, job.seed, frame.number)
            labels, codes = encode_labels(passes.surface, passes.thing)
            save_frame(
                job.files(frame),
                sensor.expose(seen, draw),
                labels,
                codes,
                encode_depth(passes.depth_m),
                job.camera_document(scene, frame),
            )
            yield frame.number


def _redirect_output(log: Path) -> None:
    """Send what Blender prints to a file: it writes past Python's own streams."""
    with log.open('ab') as file:
        os.dup2(file.fileno(), STDOUT)
        os.dup2(file.fileno(), STDERR)
