# SPDX-License-Identifier: Apache-2.0
"""The fields of sensor_msgs/Image to numpy arrays and back.

Works on anything that has the fields (rclpy and rosbags messages alike). Every field comes from outside, so each one is
checked before the first byte is touched or allocated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import ImageError
from cast_ros.images.sixteen_bits import SixteenBits

DEFAULT_MAX_PIXELS = 50_000_000
"""Pictures above this are refused unless the caller allows more: an 8K frame has 33 million pixels."""

Array = NDArray[Any]


class ImageMessage(Protocol):
    """What of sensor_msgs/Image is read here."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


@dataclass(frozen=True)
class Encoding:
    """How one encoding lies in memory, and how it becomes RGB (None: it holds numbers, not a picture).

    Of 16 bits `to_rgb` gets the 8 that are looked at.

    Planes of colour below that of luma make `rows_per_two` rows in memory of two of the picture.
    """

    dtype: str
    channels: int
    to_rgb: Callable[[Array], Array] | None = None
    rows_per_two: int = 2

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel in a row."""
        return np.dtype(self.dtype).itemsize * self.channels


@dataclass(frozen=True)
class ImageFields:
    """The fields of an Image message except its header; `data` is flat and shares memory with the array if it can."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: NDArray[np.uint8]


def _convert(code: int) -> Callable[[Array], Array]:
    return lambda array: cv2.cvtColor(np.ascontiguousarray(array), code)


def _unchanged(array: Array) -> Array:
    return array


def _yuv(code: int, sampling: str) -> Callable[[Array], Array]:
    def convert(array: Array) -> Array:
        if array.shape[1] % 2:
            raise ImageError(f'image width {array.shape[1]} is odd, but {sampling}', 'width')
        return cv2.cvtColor(np.ascontiguousarray(array), code)

    return convert


def _nv24(array: Array) -> Array:
    """Luma, then pairs of U and V for every pixel; OpenCV has no such conversion, so with its numbers of NV21."""
    height, width = array.shape[0] // 3, array.shape[1]
    planes = np.empty((height, width, 3), np.float32)
    planes[..., 0] = array[:height]
    planes[..., 1:] = array[height:].reshape(height, width, 2)
    planes -= np.array([16, 128, 128], np.float32)
    rgb = cv2.transform(planes, _BT601)
    return np.asarray(np.rint(rgb).clip(0, 255).astype(np.uint8))


# Limited range, as cameras send it.
_BT601 = np.array([[1.164, 0.0, 1.596], [1.164, -0.391, -0.813], [1.164, 2.018, 0.0]], np.float32)
_GREY = _convert(cv2.COLOR_GRAY2RGB)
_BGR = _convert(cv2.COLOR_BGR2RGB)
_BGRA = _convert(cv2.COLOR_BGRA2RGB)
_RGBA = _convert(cv2.COLOR_RGBA2RGB)
_YUV422 = '4:2:2 pictures have colour per pair of pixels'
_YUV420 = '4:2:0 pictures have colour per four pixels'
_UYVY = _yuv(cv2.COLOR_YUV2RGB_UYVY, _YUV422)
_YUYV = _yuv(cv2.COLOR_YUV2RGB_YUY2, _YUV422)
# OpenCV names a mosaic by its second row and column, ROS by its first.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}

ENCODINGS: dict[str, Encoding] = {
    'mono8': Encoding('u1', 1, _GREY),
    'mono16': Encoding('u2', 1, _GREY),
    'rgb8': Encoding('u1', 3, _unchanged),
    'bgr8': Encoding('u1', 3, _BGR),
    'rgba8': Encoding('u1', 4, _RGBA),
    'bgra8': Encoding('u1', 4, _BGRA),
    'rgb16': Encoding('u2', 3, _unchanged),
    'bgr16': Encoding('u2', 3, _BGR),
    # Drivers that wrap OpenCV publish bare matrix types; their colour order is OpenCV's.
    '8UC1': Encoding('u1', 1, _GREY),
    '8UC3': Encoding('u1', 3, _BGR),
    '8UC4': Encoding('u1', 4, _BGRA),
    '16UC1': Encoding('u2', 1),
    '16SC1': Encoding('i2', 1),
    '32SC1': Encoding('i4', 1),
    '32FC1': Encoding('f4', 1),
    'uyvy': Encoding('u1', 2, _UYVY),
    'yuv422': Encoding('u1', 2, _UYVY),
    'yuyv': Encoding('u1', 2, _YUYV),
    'yuv422_yuy2': Encoding('u1', 2, _YUYV),
    'nv21': Encoding('u1', 1, _yuv(cv2.COLOR_YUV2RGB_NV21, _YUV420), rows_per_two=3),
    'nv12': Encoding('u1', 1, _yuv(cv2.COLOR_YUV2RGB_NV12, _YUV420), rows_per_two=3),
    'i420': Encoding('u1', 1, _yuv(cv2.COLOR_YUV2RGB_I420, _YUV420), rows_per_two=3),
    'nv24': Encoding('u1', 1, _nv24, rows_per_two=6),
    **{f'bayer_{name}8': Encoding('u1', 1, _convert(code)) for name, code in _BAYER.items()},
    **{f'bayer_{name}16': Encoding('u2', 1, _convert(code)) for name, code in _BAYER.items()},
}
"""The closed table of encodings: a new one is one line here."""


def decode_image(message: ImageMessage, max_pixels: int = DEFAULT_MAX_PIXELS) -> Array:
    """The pixels as they are, H×W or H×W×C in the encoding's own channel order, native byte order.

    Encodings with planes give their rows one after another: 3H/2×W for nv21, nv12 and i420, 3H×W for nv24.

    Shares the message's memory unless rows are padded oddly or bytes must be swapped; treat it as read-only.

    Raises:
        ImageError: a field is impossible, or the data does not hold the picture that the fields describe.
    """
    encoding = _lookup(message.encoding)
    height, width, step = _checked_geometry(message, encoding, max_pixels)
    if height * encoding.rows_per_two % 2:
        raise ImageError(
            f"image height {height} is odd, but '{message.encoding}' has colour per pair of rows", 'height'
        )
    height = height * encoding.rows_per_two // 2
    flat = _flat_bytes(message.data)
    if flat.size < step * height:
        raise ImageError(
            f'image data has {flat.size} bytes, but step {step} × {height} rows needs {step * height}: '
            'the message was cut short or its fields are wrong'
        )
    rows = flat[: step * height].reshape(height, step)[:, : width * encoding.pixel_bytes]
    dtype = np.dtype(encoding.dtype)
    array: Array = rows.view(dtype.newbyteorder('>' if message.is_bigendian else '<'))
    if dtype.itemsize > 1 and (not array.dtype.isnative or not array.flags.aligned):
        array = array.astype(dtype)
    return array if encoding.channels == 1 else array.reshape(height, width, encoding.channels)


def to_rgb(array: Array, encoding: str, sixteen_bits: SixteenBits | None = None) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB from an array that `decode_image` gave for this encoding.

    Args:
        array: the pixels.
        encoding: of them.
        sixteen_bits: which of 16 bits are looked at; None goes by this picture alone.

    Raises:
        ImageError: the encoding is unknown or holds numbers that are no picture (depth, labels).
    """
    convert = _lookup(encoding).to_rgb
    if convert is None:
        raise ImageError(
            f"image encoding '{encoding}' holds numbers, not a picture; publish one of: {_names(pictures_only=True)}",
            'encoding',
        )
    if array.dtype == np.uint16:
        array = (sixteen_bits or SixteenBits()).narrowed(array)
    try:
        return convert(array)
    except cv2.error as error:
        raise ImageError(
            f"image of shape {array.shape} and encoding '{encoding}' does not convert to RGB", 'encoding'
        ) from error


def decode_rgb(
    message: ImageMessage, max_pixels: int = DEFAULT_MAX_PIXELS, sixteen_bits: SixteenBits | None = None
) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB of an Image message; raises ImageError as `decode_image` and `to_rgb` do."""
    return to_rgb(decode_image(message, max_pixels), message.encoding, sixteen_bits)


def image_fields(array: Array, encoding: str) -> ImageFields:
    """The Image fields that carry this H×W or H×W×C array.

    Raises:
        ImageError: the array's type or shape is not what the encoding says.
    """
    expected = _lookup(encoding)
    channels = 1 if array.ndim == 2 else array.shape[-1]
    if array.ndim not in (2, 3) or channels != expected.channels or array.dtype != np.dtype(expected.dtype):
        raise ImageError(
            f"an array of {array.dtype} with shape {array.shape} cannot be sent as '{encoding}', "
            f'which is {expected.channels} channel(s) of {np.dtype(expected.dtype)}'
        )
    height, width = array.shape[0] * 2 // expected.rows_per_two, array.shape[1]
    if height * expected.rows_per_two != array.shape[0] * 2:
        raise ImageError(
            f"an array of {array.shape[0]} rows cannot be sent as '{encoding}', whose planes do not fit it"
        )
    contiguous = np.ascontiguousarray(array)
    return ImageFields(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(sys.byteorder == 'big'),
        step=width * expected.pixel_bytes,
        data=contiguous.reshape(-1).view(np.uint8),
    )


def check_size(width: int, height: int, max_pixels: int, what: str) -> None:
    """Refuses an empty picture, or one of more than `max_pixels`, before anything is allocated for it."""
    if width <= 0 or height <= 0:
        raise ImageError(
            f'{what} has width {width} and height {height}; both must be at least 1',
            'height' if width > 0 else 'width',
        )
    if width * height > max_pixels:
        raise ImageError(
            f'{what} has {width}×{height} = {width * height} pixels, above the limit max_pixels = {max_pixels}',
            'width',
        )


def _checked_geometry(message: ImageMessage, encoding: Encoding, max_pixels: int) -> tuple[int, int, int]:
    height, width, step = int(message.height), int(message.width), int(message.step)
    check_size(width, height, max_pixels, 'image')
    if step < width * encoding.pixel_bytes:
        raise ImageError(
            f"image step {step} is too small: a row of {width} pixels in '{message.encoding}' takes "
            f'{width * encoding.pixel_bytes} bytes',
            'step',
        )
    return height, width, step


def _lookup(name: str) -> Encoding:
    encoding = ENCODINGS.get(name)
    if encoding is None:
        raise ImageError(f"image encoding '{name}' is not known; known are: {_names()}", 'encoding')
    return encoding


def _names(pictures_only: bool = False) -> str:
    return ', '.join(name for name, entry in ENCODINGS.items() if entry.to_rgb or not pictures_only)


def _flat_bytes(data: Any) -> NDArray[np.uint8]:
    """A uint8 view of bytes, array.array, memoryview or ndarray; no copy."""
    try:
        return np.frombuffer(data, dtype=np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        # An empty buffer is a ValueError in numpy before 2.
        if hasattr(data, '__len__') and len(data) == 0:
            return np.empty(0, dtype=np.uint8)
        raise ImageError(f'image data of type {type(data).__name__} is not a buffer of bytes') from error
