# SPDX-License-Identifier: Apache-2.0
"""JPEG and PNG payloads of sensor_msgs/CompressedImage to numpy and back.

The size is read from the file's own header and judged before the decoder allocates anything. A picture that was cut
short is refused, since decoders would fill the rest with grey and the robot would believe it.
"""

from __future__ import annotations

import struct
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import ImageError
from cast_ros.images.codec import DEFAULT_MAX_PIXELS, check_size

_JPEG_START = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
_PNG_START = b'\x89PNG\r\n\x1a\n'
_SOS, _EOI = 0xDA, 0xD9
# Frame headers are C0–CF; C4, C8 and CC in that range are Huffman tables, a reserved code and arithmetic coding.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


class CompressedImageMessage(Protocol):
    """What of sensor_msgs/CompressedImage is read here; `format` is not believed, the bytes are."""

    data: Any


def decode_compressed(message: CompressedImageMessage, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[Any]:
    """The pixels as they are in the file: H×W, or H×W×3 RGB, or H×W×4 RGBA; uint8, or uint16 for a 16-bit PNG.

    Raises:
        ImageError: empty, neither JPEG nor PNG, cut short, too large or damaged.
    """
    data = _as_bytes(message.data)
    if data.startswith(_PNG_START):
        width, height = _png_size(data)
    elif data.startswith(_JPEG_START):
        width, height = _jpeg_size(data)
    else:
        start = data[:4].hex(' ')
        raise ImageError(f'compressed image of {len(data)} bytes is neither JPEG nor PNG: it begins with {start}')
    check_size(width, height, max_pixels, 'compressed image')
    try:
        array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f'compressed image of {width}×{height} pixels is damaged: {error.err}') from error
    if array is None or array.shape[:2] != (height, width):
        raise ImageError(f'compressed image of {width}×{height} pixels is damaged: the decoder gave up')
    if array.ndim == 2:
        return array
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def decode_compressed_rgb(message: CompressedImageMessage, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB of a compressed picture; 16 bits keep their high byte, transparency is dropped."""
    array = decode_compressed(message, max_pixels)
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.ndim == 2:
        return np.asarray(cv2.cvtColor(array, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return np.ascontiguousarray(array[..., :3])


def encode_png(array: NDArray[Any], compression: int = 6) -> bytes:
    """A PNG of an H×W uint8 or uint16 map, or of an H×W×3 RGB picture; lossless, so fit for labels and depth."""
    return _encode('.png', array, [cv2.IMWRITE_PNG_COMPRESSION, compression])


def encode_jpeg(array: NDArray[np.uint8], quality: int = 90) -> bytes:
    """A JPEG of an H×W×3 RGB or H×W grey picture. Never for labels or depth: JPEG invents values."""
    if array.dtype != np.uint8:
        raise ImageError(f'JPEG holds 8 bits, the array is {array.dtype}')
    return _encode('.jpg', array, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode(suffix: str, array: NDArray[Any], options: list[int]) -> bytes:
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGBA2BGRA if array.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    problem = f'an array of {array.dtype} with shape {array.shape} cannot be written as {suffix[1:]}'
    try:
        done, payload = cv2.imencode(suffix, array, options)
    except cv2.error as error:
        raise ImageError(problem) from error
    if not done:
        raise ImageError(problem)
    return payload.tobytes()


def _as_bytes(data: Any) -> bytes:
    try:
        payload = bytes(memoryview(data))
    except TypeError as error:
        raise ImageError(f'compressed image data of type {type(data).__name__} is not a buffer of bytes') from error
    if not payload:
        raise ImageError('compressed image is empty: 0 bytes')
    return payload


def _png_size(data: bytes) -> tuple[int, int]:
    """Width and height, after a walk over the chunks to the end mark."""
    size: tuple[int, int] | None = None
    position = len(_PNG_START)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from('>I4s', data, position)
        if position + 12 + length > len(data):
            break
        if kind == b'IHDR' and length >= 8:
            size = struct.unpack_from('>II', data, position + 8)
        if kind == b'IEND':
            if size is None:
                raise ImageError('compressed image is a PNG without a header chunk')
            return size
        position += 12 + length
    raise ImageError(f'compressed image is a PNG that was cut short after {len(data)} bytes')


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height from the frame header, after a look for the end mark behind the first scan."""
    size: tuple[int, int] | None = None
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], 'big')
        if marker in _FRAME_HEADERS and position + 9 <= len(data):
            height, width = struct.unpack_from('>HH', data, position + 5)
            size = (width, height)
        if marker == _SOS and size is not None and data.find(_JPEG_END, position + 2 + length) >= 0:
            return size
        if marker in (_SOS, _EOI) or length < 2:
            break
        position += 2 + length
    raise ImageError(f'compressed image is a JPEG that was cut short or damaged after {len(data)} bytes')
