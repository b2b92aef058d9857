# SPDX-License-Identifier: Apache-2.0
"""`cast overlay PICTURE…`: try a student on pictures or a video, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
import typer

from cast_ros.images import ImageError
from cast_ros.overlay import colorize_depth, draw_overlay
from cast_ros.student import Student

VIDEO_SUFFIXES = ('.avi', '.mkv', '.mov', '.mp4', '.webm')
DEPTH_SHOWN_TO_M = 80.0

Picture = npt.NDArray[np.uint8]


def overlay(
    inputs: Annotated[list[Path], typer.Argument(help='Pictures or videos.', show_default=False)],
    model: Annotated[Path, typer.Option(help='The .onnx file of a student.', show_default=False)],
    out: Annotated[Path, typer.Option(help='Folder for the pictures.')] = Path('out/overlay'),
    every: Annotated[int, typer.Option(min=1, help='Of a video, take one frame in so many.')] = 10,
    fx: Annotated[float | None, typer.Option(help='Focal length in pixels; without it depth is only to scale.')] = None,
    score_threshold: Annotated[float, typer.Option(min=0, max=1, help='Lowest score that is shown.')] = 0.5,
) -> None:
    """Write each picture with masks, boxes and distances, and its depth beside it, as NAME.png."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    with Student.load(model) as student:
        for name, bgr in _pictures(inputs, every):
            rgb = np.ascontiguousarray(bgr[..., ::-1])
            prediction = student.predict(rgb, fx_px=fx, score_threshold=score_threshold)
            parts = [draw_overlay(rgb, prediction, student.contract)]
            if prediction.depth is not None:
                parts.append(colorize_depth(prediction.depth, DEPTH_SHOWN_TO_M))
            if not cv2.imwrite(str(out / f'{name}.png'), np.hstack(parts)):
                raise ImageError(f'{out / name}.png cannot be written; check the folder and the free space')
            count += 1
    print(f'{count} pictures in {out}')


def _pictures(inputs: list[Path], every: int) -> Iterator[tuple[str, Picture]]:
    """Name and BGR pixels of each picture, videos taken apart."""
    for path in inputs:
        if not path.is_file():
            raise ImageError(f'{path}: there is no such file')
        if path.suffix.lower() in VIDEO_SUFFIXES:
            yield from _frames(path, every)
            continue
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ImageError(f'{path}: cannot be decoded as a picture')
        yield path.stem, np.asarray(bgr, dtype=np.uint8)


def _frames(path: Path, every: int) -> Iterator[tuple[str, Picture]]:
    video = cv2.VideoCapture(str(path))
    try:
        index = 0
        while video.grab():
            if index % every == 0:
                readable, bgr = video.retrieve()
                if not readable:
                    raise ImageError(f'{path}: frame {index} cannot be decoded')
                yield f'{path.stem}_{index:06d}', np.asarray(bgr, dtype=np.uint8)
            index += 1
        if index == 0:
            raise ImageError(f'{path}: no frame of this video can be decoded')
    finally:
        video.release()
