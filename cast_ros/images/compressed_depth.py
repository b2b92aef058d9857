# SPDX-License-Identifier: Apache-2.0
"""Depth images of compressed_depth_image_transport: PNG or RVL behind twelve bytes of header.

A `format` such as `16UC1; compressedDepth png` says what the values are: millimetres, or for `32FC1` numbers that stand
for inverse depth. RVL: A. D. Wilson, "Fast Lossless Depth Image Compression", ISS 2017.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import ImageError
from cast_ros.images.codec import DEFAULT_MAX_PIXELS, check_size

NAME = 'compressedDepth'
_HEADER = struct.Struct('<iff')  # a number that nobody uses, and the two of the quantisation
_SIZE = struct.Struct('<ii')
_WHERE = 'compressed depth image'


def is_compressed_depth(message: Any) -> bool:
    """Whether a sensor_msgs/CompressedImage says that it is one."""
    return NAME in str(message.format)


def decode_compressed_depth(message: Any, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.float32]:
    """H×W float32 metres of a sensor_msgs/CompressedImage, NaN where nothing was measured.

    Raises:
        ImageError: its format names no depth, or it is too large, cut short or damaged.
    """
    encoding, _, codec = (part.strip() for part in str(message.format).partition(';'))
    if encoding not in ('16UC1', '32FC1') or NAME not in codec:
        raise ImageError(f"{_WHERE} has the format '{message.format}'; wanted is 16UC1 or 32FC1; {NAME}", 'format')
    data = bytes(memoryview(message.data))
    if len(data) <= _HEADER.size:
        raise ImageError(f'{_WHERE} is cut short: {len(data)} bytes', 'data')
    _, depth_quant_a, depth_quant_b = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    values = _rvl(payload, max_pixels) if codec.split()[-1].lower() == 'rvl' else _png(payload, max_pixels)
    metres = values.astype(np.float32)
    if encoding == '16UC1':
        metres *= np.float32(0.001)
    else:
        with np.errstate(divide='ignore'):
            metres = np.float32(depth_quant_a) / (metres - np.float32(depth_quant_b))
    metres[(values == 0) | ~(metres > 0)] = np.nan
    return metres


def _png(payload: bytes, max_pixels: int) -> NDArray[np.uint16]:
    if not payload.startswith(b'\x89PNG') or len(payload) < 24:
        raise ImageError(f'{_WHERE} is no PNG: it begins with {payload[:4].hex(" ")}', 'data')
    width, height = struct.unpack_from('>II', payload, 16)
    check_size(width, height, max_pixels, _WHERE)
    values = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 2 or values.dtype != np.uint16:
        raise ImageError(f'{_WHERE} is damaged, or not of 16 bits', 'data')
    return np.asarray(values, np.uint16)


def _rvl(payload: bytes, max_pixels: int) -> NDArray[np.uint16]:
    """Runs of zeros and of differences, in groups of three bits, the lowest first; a fourth bit says that more come."""
    if len(payload) < _SIZE.size:
        raise ImageError(f'{_WHERE} is cut short: {len(payload)} bytes of RVL', 'data')
    width, height = _SIZE.unpack_from(payload)
    check_size(width, height, max_pixels, _WHERE)
    words = np.frombuffer(payload, '<u4', (len(payload) - _SIZE.size) // 4, _SIZE.size)
    nibbles = ((words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15).ravel().astype(np.int64)
    ends = np.flatnonzero(nibbles < 8)
    nibbles = nibbles[: ends[-1] + 1] if len(ends) else nibbles[:0]
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    places = np.arange(len(nibbles)) - np.repeat(starts, ends + 1 - starts)
    # No number of sixteen bits has more than six groups.
    numbers = np.add.reduceat((nibbles & 7) << (3 * np.minimum(places, 7)), starts) if len(ends) else ends
    found = np.zeros(width * height, np.int64)
    filled = position = last = 0
    while filled < len(found):
        if position + 2 > len(numbers):
            raise ImageError(f'{_WHERE} is cut short: {filled} of {len(found)} pixels of RVL', 'data')
        zeros, count = int(numbers[position]), int(numbers[position + 1])
        position += 2
        filled += zeros
        coded = numbers[position : position + count]
        if len(coded) < count or filled + count > len(found) or not zeros + count:
            raise ImageError(f'{_WHERE} is damaged: {filled} of {len(found)} pixels of RVL', 'data')
        if count:
            run = last + np.cumsum((coded >> 1) ^ -(coded & 1))
            found[filled : filled + count] = run
            last = int(run[-1])
        filled, position = filled + count, position + count
    return found.astype(np.uint16).reshape(height, width)
