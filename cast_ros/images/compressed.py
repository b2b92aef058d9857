# SPDX-License-Identifier: Apache-2.0
"""JPEG and PNG payloads of sensor_msgs/CompressedImage to numpy and back.

The size is read from the file's own header and judged before the decoder allocates anything. A picture that was cut
short is refused, since decoders would fill the rest with grey and the robot would believe it.
"""

from __future__ import annotations

import re
import struct
from string import digits
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import ImageError
from cast_ros.images.codec import DEFAULT_MAX_PIXELS, check_size, to_rgb
from cast_ros.images.compressed_depth import is_compressed_depth
from cast_ros.images.jpeg import decode_jpeg
from cast_ros.images.sixteen_bits import SixteenBits

_JPEG_START = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
_PNG_START = b'\x89PNG\r\n\x1a\n'
_SOS, _EOI = 0xDA, 0xD9
# Frame headers are C0–CF; C4, C8 and CC in that range are Huffman tables, a reserved code and arithmetic coding.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


class CompressedImageMessage(Protocol):
    """What of sensor_msgs/CompressedImage is read here."""

    format: str
    data: Any


class CompressedFormat(NamedTuple):
    """`format` as compressed_image_transport writes it: `ENCODING; CODEC compressed [STORED]`, or the codec alone.

    Which codec it is the bytes say; `encoding` and `stored` are told nowhere else.

    Attributes:
        encoding: of the Image that was compressed; '' if it is not told.
        stored: of the pixels that the codec got; '' if it is not told.
    """

    encoding: str
    stored: str

    @classmethod
    def of(cls, text: str) -> CompressedFormat:
        """From the field of a message."""
        encoding, _, rest = text.rpartition(';')
        words = rest.split()
        return cls(encoding.strip(), words[2] if words[1:2] == ['compressed'] and len(words) > 2 else '')

    def is_mosaic(self, array: NDArray[Any]) -> bool:
        """Whether the pixels of the file are those of a Bayer pattern, still to be made colours of."""
        return array.ndim == 2 and self.encoding.startswith('bayer_') and self.stored in ('', self.encoding)

    def is_swapped(self, array: NDArray[Any]) -> bool:
        """Whether red and blue stand where codecs expect blue and red."""
        return array.ndim == 3 and self.stored.startswith('rgb')


_VIDEO = re.compile(r'264|265|hevc|avc|vp[89]|av1|mpeg|theora|ffmpeg', re.IGNORECASE)
_VIDEO_STARTS = (b'\0\0\0\1', b'\0\0\1')


def _refuse_what_is_no_picture(message: CompressedImageMessage, data: bytes) -> None:
    said = str(message.format)
    if is_compressed_depth(message):
        raise ImageError(
            f"compressed image of format '{said}' holds depth, not a picture: name another topic", 'format'
        )
    if _VIDEO.search(said) or data.startswith(_VIDEO_STARTS):
        raise ImageError(
            f"compressed image of format '{said}' is a piece of a video, not a picture: decode it first, with "
            '`ros2 run image_transport republish ffmpeg raw` or the node of your camera, and name that topic',
            'format',
        )


def decode_compressed(message: CompressedImageMessage, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[Any]:
    """The pixels as they are in the file: H×W, or H×W×3 RGB, or H×W×4 RGBA; uint8, or uint16 for a 16-bit PNG.

    Raises:
        ImageError: empty, depth or video by its format, neither JPEG nor PNG, cut short, too large or damaged.
    """
    data = _as_bytes(message.data)
    _refuse_what_is_no_picture(message, data)
    if data.startswith(_PNG_START):
        width, height = _png_size(data)
    elif data.startswith(_JPEG_START):
        width, height = _jpeg_size(data)
    else:
        start = data[:4].hex(' ')
        raise ImageError(f'compressed image of {len(data)} bytes is neither JPEG nor PNG: it begins with {start}')
    check_size(width, height, max_pixels, 'compressed image')
    if data.startswith(_JPEG_START) and (pixels := decode_jpeg(data)) is not None:
        return pixels
    try:
        array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f'compressed image of {width}×{height} pixels is damaged: {error.err}') from error
    if array is None or array.shape[:2] != (height, width):
        raise ImageError(f'compressed image of {width}×{height} pixels is damaged: the decoder gave up')
    if array.ndim == 2:
        return array
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def decode_compressed_rgb(
    message: CompressedImageMessage, max_pixels: int = DEFAULT_MAX_PIXELS, sixteen_bits: SixteenBits | None = None
) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB of a compressed picture: mosaics become colours, transparency is dropped.

    Args:
        message: JPEG or PNG.
        max_pixels: pictures with more are refused.
        sixteen_bits: which of 16 bits are looked at; None goes by this picture alone.

    Raises:
        ImageError: as `decode_compressed`, or the mosaic is of no known pattern.
    """
    return rgb_of(decode_compressed(message, max_pixels), message, sixteen_bits)


def rgb_of(
    array: NDArray[Any], message: CompressedImageMessage, sixteen_bits: SixteenBits | None = None
) -> NDArray[np.uint8]:
    """The same of pixels that `decode_compressed` gave for this message."""
    form = CompressedFormat.of(str(message.format))
    if form.is_mosaic(array):
        # JPEG holds 8 bits of what may have been 16.
        return to_rgb(array, f'{form.encoding.rstrip(digits)}{8 * array.dtype.itemsize}', sixteen_bits)
    if array.dtype == np.uint16:
        array = (sixteen_bits or SixteenBits()).narrowed(array)
    if array.ndim == 2:
        return np.asarray(cv2.cvtColor(array, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return np.ascontiguousarray(array[..., 2::-1] if form.is_swapped(array) else array[..., :3])


def is_stored_as_shown(array: NDArray[Any], message: CompressedImageMessage) -> bool:
    """Whether any reader of the file sees the picture of `rgb_of`: no mosaic, no swapped colours, no 16 bits."""
    form = CompressedFormat.of(str(message.format))
    return array.dtype == np.uint8 and not form.is_mosaic(array) and not form.is_swapped(array)


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
