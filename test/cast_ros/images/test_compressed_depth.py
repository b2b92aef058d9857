# SPDX-License-Identifier: Apache-2.0
"""Depth images of compressed_depth_image_transport."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from compressed_depth import compressed_depth_inverse, compressed_depth_png, compressed_depth_rvl

from cast_ros.errors import ImageError
from cast_ros.images.compressed_depth import decode_compressed_depth

RNG = np.random.default_rng(0)
DEPTH_MM = RNG.integers(400, 60_000, (37, 53)).astype(np.uint16)
DEPTH_MM[RNG.random(DEPTH_MM.shape) < 0.3] = 0
DEPTH_MM[:5] = 0


def message(data: bytes, form: str) -> SimpleNamespace:
    return SimpleNamespace(data=data, format=form)


@pytest.mark.parametrize(
    'sent',
    [
        message(compressed_depth_png(DEPTH_MM), '16UC1; compressedDepth png'),
        message(compressed_depth_png(DEPTH_MM), '16UC1; compressedDepth'),
        message(compressed_depth_rvl(DEPTH_MM), '16UC1; compressedDepth rvl'),
    ],
)
def test_millimetres_come_back_as_metres(sent: SimpleNamespace) -> None:
    found = decode_compressed_depth(sent)
    assert np.array_equal(np.isnan(found), DEPTH_MM == 0)
    assert np.allclose(found[DEPTH_MM > 0], DEPTH_MM[DEPTH_MM > 0] / 1000, rtol=1e-6)


@pytest.mark.parametrize('fill', [0, 1, 65_535])
def test_rvl_of_one_value_throughout(fill: int) -> None:
    depth_mm = np.full((3, 5), fill, np.uint16)
    found = decode_compressed_depth(message(compressed_depth_rvl(depth_mm), '16UC1; compressedDepth rvl'))
    expected = np.full((3, 5), fill / 1000 if fill else np.nan)
    assert np.allclose(found, expected, equal_nan=True)


def test_inverse_depth_comes_back_as_metres() -> None:
    depth_m = np.linspace(0.5, 9.5, 60, dtype=np.float32).reshape(6, 10)
    depth_m[0, 0] = np.nan
    found = decode_compressed_depth(message(compressed_depth_inverse(depth_m), '32FC1; compressedDepth png'))
    assert np.isnan(found[0, 0])
    assert np.allclose(found[1:], depth_m[1:], rtol=0.01)


@pytest.mark.parametrize(
    ('sent', 'reason'),
    [
        (message(b'', '16UC1; compressedDepth png'), 'cut short: 0 bytes'),
        (message(b'\0' * 12 + b'JFIF' * 9, '16UC1; compressedDepth png'), 'no PNG'),
        (message(compressed_depth_rvl(DEPTH_MM)[:-40], '16UC1; compressedDepth rvl'), 'of 1961 pixels of RVL'),
        (message(b'\0' * 14, '16UC1; compressedDepth rvl'), 'cut short: 2 bytes of RVL'),
        (message(b'\0' * 12 + struct.pack('<ii', 9, 9) + b'\0' * 40, '16UC1; compressedDepth rvl'), 'damaged'),
        (message(b'\0' * 12 + struct.pack('<ii', 60_000, 60_000), '16UC1; compressedDepth rvl'), 'above the limit'),
        (message(b'\0' * 12 + struct.pack('<ii', -3, 5), '16UC1; compressedDepth rvl'), 'must be at least 1'),
        (message(compressed_depth_png(DEPTH_MM), 'bgr8; jpeg compressed bgr8'), "has the format 'bgr8; jpeg"),
        (message(compressed_depth_png(DEPTH_MM.astype(np.uint8)), '16UC1; compressedDepth png'), 'not of 16 bits'),
    ],
)
def test_what_is_no_depth_is_refused_with_a_reason(sent: SimpleNamespace, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode_compressed_depth(sent)
