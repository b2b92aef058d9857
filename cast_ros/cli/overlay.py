# SPDX-License-Identifier: Apache-2.0
"""`cast overlay PICTURE…`: try a student on pictures or a video, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
import typer

from cast_ros.errors import ImageError
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
    with _explained():
        _refuse_equal_names(inputs)
        out.mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()
    with Student.load(model) as student, _explained():
        taken = {path.resolve() for path in inputs}
        for name, bgr in _pictures(inputs, every):
            target = out / f'{name}.png'
            if target in written or target.resolve() in taken:
                whose = 'another picture' if target in written else 'the input itself'
                raise ImageError(f'{target} is {whose} and is not overwritten; choose another folder (--out)')
            rgb = np.ascontiguousarray(bgr[..., ::-1])
            prediction = student.predict(rgb, fx_px=fx, score_threshold=score_threshold)
            parts = [draw_overlay(rgb, prediction, student.contract)]
            if prediction.depth is not None:
                parts.append(colorize_depth(prediction.depth, DEPTH_SHOWN_TO_M))
            if not cv2.imwrite(str(target), np.hstack(parts)):
                raise ImageError(f'{target} cannot be written; check the folder and the free space')
            written.add(target)
    print(f'{len(written)} pictures in {out}')


@contextmanager
def _explained() -> Iterator[None]:
    """What the file system refuses, as an error of pictures; it names the file itself."""
    try:
        yield
    except OSError as error:
        raise ImageError(f'{error}; check the path and who may read and write there') from error


def _refuse_equal_names(inputs: list[Path]) -> None:
    """Before an hour of work, and not after it."""
    known: dict[tuple[str, bool], Path] = {}
    for path in inputs:
        key = path.stem, _is_video(path)
        if key in known:
            raise ImageError(
                f'{known[key]} and {path} have one name, {path.stem}, and the second would be written over the first; '
                'run them one by one, each with a folder of its own (--out)'
            )
        known[key] = path


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _pictures(inputs: list[Path], every: int) -> Iterator[tuple[str, Picture]]:
    """Name and BGR pixels of each picture, videos taken apart."""
    for path in inputs:
        if not path.is_file():
            raise ImageError(f'{path}: there is no such file')
        if _is_video(path):
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
