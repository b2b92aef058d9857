# SPDX-License-Identifier: Apache-2.0
"""Finding and reading the files of a data set, with errors that name the path and the fix."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

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


def require_files(folder: Path, names: Iterable[str], root_hint: str) -> None:
    """Check that ``folder`` holds all files ``names``, before hours of training find the one that is missing.

    Raises:
        DataError: the folder or a file is absent.
    """
    if not folder.is_dir():
        raise DataError(f'{folder}: no such folder; {root_hint}')
    present = {path.name for path in folder.iterdir()}
    missing = sorted(name for name in names if name not in present)
    if missing:
        more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
        raise DataError(
            f'{folder / missing[0]}: no such file{more}; unpack the labels completely, or remove the picture'
        )


def refuse_domain(dataset: str, domain: str) -> None:
    """Refuse a domain where a data set has none.

    Raises:
        DataError: ``domain`` is not empty.
    """
    if domain:
        raise DataError(f'{dataset} has no domains, so {domain!r} selects nothing; leave the domain out')


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Read a picture as H×W×3 RGB.

    Raises:
        DataError: the file is missing or cannot be decoded.
    """
    return np.ascontiguousarray(_read(path, cv2.IMREAD_COLOR)[..., ::-1]).astype(np.uint8, copy=False)


def read_label(path: Path, shape: tuple[int, int], dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Read a single-channel label picture of exactly ``shape`` (height, width) and, if given, ``dtype``.

    Raises:
        DataError: the file is missing, cannot be decoded, or has another shape or number of bits.
    """
    label = _read(path, cv2.IMREAD_UNCHANGED)
    _require(path, label, label.shape, shape, dtype)
    return label


def read_channels(path: Path, shape: tuple[int, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Read a label picture of ``shape`` (height, width) with all its channels, in the file's order: H×W×C.

    Raises:
        DataError: the file is missing, cannot be decoded, or has another shape or number of bits.
    """
    label = _read(path, cv2.IMREAD_UNCHANGED)
    _require(path, label, label.shape[:2], shape, dtype)
    # OpenCV turns red, green, blue (and opacity) around.
    return label[..., None] if label.ndim == 2 else np.concatenate([label[..., 2::-1], label[..., 3:]], axis=-1)


def read_indices(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Read the numbers in a PNG with a palette, or in a grey one, of exactly ``shape`` (height, width).

    OpenCV gives the colours of a palette and loses the numbers.

    Raises:
        DataError: the file is missing, cannot be decoded, has another shape, or holds colours without a palette.
    """
    content = _content(path)
    try:
        with Image.open(io.BytesIO(content), formats=('PNG',)) as picture:
            mode, indices = picture.mode, np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f'{path}: cannot be decoded as a PNG ({error}); fetch it again or remove it') from error
    if mode not in ('P', 'L'):
        raise DataError(f'{path}: is {mode}, needs numbers with a palette; fetch the original, it was converted')
    _require(path, indices, indices.shape, shape, np.uint8)
    return indices


def read_depth(
    path: Path, shape: tuple[int, int], units_per_metre: int, sky: int | None = None
) -> npt.NDArray[np.float32]:
    """Read a 16-bit picture of depth as metres; 0 becomes NaN, unknown.

    Args:
        path: of the picture; several channels must be equal.
        shape: height and width that it must have.
        units_per_metre: 100 for centimetres.
        sky: the number that means sky, or too far to tell; it becomes +Inf.

    Raises:
        DataError: as for ``read_channels``, or the channels differ.
    """
    channels = read_channels(path, shape, np.uint16)
    raw = channels[..., 0]
    if (channels != channels[..., :1]).any():
        raise DataError(f'{path}: its channels differ, so it is no 16-bit depth; fetch the original, it was converted')
    depth_m: npt.NDArray[np.float32] = (raw / units_per_metre).astype(np.float32)
    if sky is not None:
        depth_m[raw == sky] = np.inf
    depth_m[raw == 0] = np.nan
    return depth_m


def _require(
    path: Path, label: npt.NDArray[Any], found: tuple[int, ...], shape: tuple[int, int], dtype: npt.DTypeLike | None
) -> None:
    if found != shape:
        raise DataError(f'{path}: has shape {found}, its picture has {shape}; label and picture must match')
    if dtype is not None and label.dtype != np.dtype(dtype):
        raise DataError(
            f'{path}: holds {label.dtype} numbers, needs {np.dtype(dtype)}; fetch the original, it was converted'
        )


def _read(path: Path, flags: int) -> npt.NDArray[Any]:
    content = _content(path)
    array = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if array is None:
        raise DataError(f'{path}: cannot be decoded as a picture, or is cut short; fetch it again or remove it')
    return np.asarray(array)


def _content(path: Path) -> bytes:
    """The bytes of a picture, checked to be whole: OpenCV fills what a cut file lacks with grey and says nothing."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f'{path}: no such file; every picture needs its labels beside it, or remove the picture'
        ) from error
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error})') from error
    if _is_cut(content):
        raise DataError(f'{path}: cannot be decoded as a picture, or is cut short; fetch it again or remove it')
    return content


def _is_cut(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; inside the data of a JPEG no end marker can occur."""
    if content.startswith(b'\xff\xd8'):
        return content.rfind(b'\xff\xd9') < content.rfind(b'\xff\xda')
    if content.startswith(b'\x89PNG'):
        return b'IEND\xaeB`\x82' not in content
    return not content
