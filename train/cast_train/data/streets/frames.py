# SPDX-License-Identifier: Apache-2.0
"""The five files of a frame. They appear together: the picture, which is moved in last, makes the frame exist."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cast_train.errors import DataError

JPEG_QUALITY = 95


@dataclass(frozen=True)
class FrameFiles:
    """Where the files of one frame belong."""

    root: Path
    split: str
    domain: str
    seed: int
    number: int

    @property
    def stem(self) -> str:
        """DOMAIN_SEED_FRAME."""
        return f'{self.domain}_{self.seed:06d}_{self.number:06d}'

    @property
    def picture(self) -> Path:
        """The camera picture."""
        return self._path('leftImg8bit', 'leftImg8bit.jpg')

    @property
    def instance_ids(self) -> Path:
        """Cityscapes instanceIds, uint16."""
        return self._path('gtFine', 'gtFine_instanceIds.png')

    @property
    def label_ids(self) -> Path:
        """Cityscapes labelIds, uint8."""
        return self._path('gtFine', 'gtFine_labelIds.png')

    @property
    def depth(self) -> Path:
        """Centimetres, uint16."""
        return self._path('depth', 'depth.png')

    @property
    def camera(self) -> Path:
        """Intrinsics, stamp and, when they are not the default, the options it was rendered with."""
        return self._path('camera', 'camera.json')

    def is_finished(self) -> bool:
        """Whether all files are there."""
        return all(
            path.is_file() for path in (self.picture, self.instance_ids, self.label_ids, self.depth, self.camera)
        )

    def _path(self, kind: str, suffix: str) -> Path:
        return self.root / kind / self.split / self.domain / f'{self.stem}_{suffix}'


def save_frame(
    files: FrameFiles,
    picture_bgr: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    codes: npt.NDArray[np.uint16],
    depth_cm: npt.NDArray[np.uint16],
    camera: dict[str, object],
) -> None:
    """Write a frame so that a kill at any moment leaves all of it or nothing that a loader sees.

    Raises:
        DataError: a file cannot be written.
    """
    contents = [
        (files.camera, json.dumps(camera).encode()),
        (files.depth, _encode(depth_cm, '.png')),
        (files.label_ids, _encode(labels, '.png')),
        (files.instance_ids, _encode(codes, '.png')),
        (files.picture, _encode(picture_bgr, '.jpg')),
    ]
    try:
        for path, content in contents:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _beside(path).open('wb') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, _ in contents:
            _beside(path).replace(path)
    except OSError as error:
        raise DataError(
            f'{files.root}: cannot write frame {files.stem} ({error}); free space or choose --out'
        ) from error


def check_same_options(files: FrameFiles, expected: dict[str, object]) -> None:
    """Refuse to go on where a finished frame was rendered with other options.

    Raises:
        DataError: the camera file differs, or cannot be read.
    """
    try:
        found = json.loads(files.camera.read_text())
    except (OSError, ValueError) as error:
        message = f'{files.camera}: cannot be read ({error}); delete {files.picture.name} to render the frame again'
        raise DataError(message) from error
    for key in ('width', 'height', 'stamp', 'ego_speed', 'render'):
        here, wanted = (document.get(key, 'default') for document in (found, expected))
        if here != wanted:
            raise DataError(
                f'{files.camera}: rendered with {key} {here}, asked for {wanted}; choose another --out or --split'
            )


def _beside(path: Path) -> Path:
    return path.with_name(f'.{path.name}.tmp')


def _encode(array: npt.NDArray[Any], kind: str) -> bytes:
    done, encoded = cv2.imencode(kind, array, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == '.jpg' else [])
    if not done:
        raise DataError(f'a picture of shape {array.shape} cannot be encoded as {kind}')
    return encoded.tobytes()
