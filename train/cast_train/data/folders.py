# SPDX-License-Identifier: Apache-2.0
"""Finding and reading the files of a data set, with errors that name the path and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cast_train.errors import DataError


def list_pictures(folder: Path, suffix: str, root_hint: str) -> list[Path]:
    """Return the sorted files of ``folder`` that end in ``suffix``.

    Raises:
        DataError: the folder is absent or holds none; ``root_hint`` says what the tree should look like.
    """
    if not folder.is_dir():
        raise DataError(f'{folder}: no such folder; {root_hint}')
    pictures = sorted(path for path in folder.iterdir() if path.name.endswith(suffix))
    if not pictures:
        raise DataError(f'{folder}: no file ends in {suffix}; {root_hint}')
    return pictures


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Read a picture as H×W×3 RGB.

    Raises:
        DataError: the file is missing or cannot be decoded.
    """
    return np.ascontiguousarray(_read(path, cv2.IMREAD_COLOR)[..., ::-1]).astype(np.uint8, copy=False)


def read_label(path: Path, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Read a single-channel label picture of exactly ``shape`` (height, width).

    Raises:
        DataError: the file is missing, cannot be decoded, or has another shape.
    """
    label = _read(path, cv2.IMREAD_UNCHANGED)
    if label.shape != shape:
        raise DataError(f'{path}: has shape {label.shape}, its picture has {shape}; label and picture must match')
    return label


def _read(path: Path, flags: int) -> npt.NDArray[Any]:
    if not path.is_file():
        raise DataError(f'{path}: no such file; every picture needs its labels beside it, or remove the picture')
    array = cv2.imread(str(path), flags)
    if array is None:
        raise DataError(f'{path}: cannot be decoded as a picture; fetch it again')
    return np.asarray(array)
