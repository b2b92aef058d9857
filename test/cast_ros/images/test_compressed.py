# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import array
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cast_ros.errors import ImageError
from cast_ros.images import decode_compressed, decode_compressed_rgb, encode_jpeg, encode_png


def smooth_picture(height: int = 32, width: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 5, columns * 4, rows + columns], -1).astype(np.uint8)


def message(payload: bytes, kind: str = 'jpeg') -> SimpleNamespace:
    return SimpleNamespace(format=kind, data=array.array('B', payload))


JPEG = encode_jpeg(smooth_picture())
PNG = encode_png(smooth_picture())


def png_with_size(width: int, height: int) -> bytes:
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    chunks = struct.pack('>I', 13) + header + struct.pack('>I', zlib.crc32(header))
    return b'\x89PNG\r\n\x1a\n' + chunks + struct.pack('>I', 0) + b'IEND' + struct.pack('>I', zlib.crc32(b'IEND'))


def jpeg_with_size(width: int, height: int) -> bytes:
    start = JPEG.index(b'\xff\xc0')
    return JPEG[: start + 5] + struct.pack('>HH', height, width) + JPEG[start + 9 :]


def test_jpeg_is_what_opencv_decodes_in_rgb_order() -> None:
    expected = cv2.imdecode(np.frombuffer(JPEG, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decode_compressed_rgb(message(JPEG)), expected)
    assert np.abs(expected.astype(int) - smooth_picture()).mean() < 3


def test_png_in_colour_is_exact() -> None:
    np.testing.assert_array_equal(decode_compressed(message(PNG, 'png')), smooth_picture())


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_png_map_keeps_every_value_and_its_type(dtype: type) -> None:
    values = np.linspace(0, np.iinfo(dtype).max, 600).astype(dtype).reshape(20, 30)
    decoded = decode_compressed(message(encode_png(values)))
    np.testing.assert_array_equal(decoded, values)
    assert decoded.dtype == dtype


def test_sixteen_bit_png_becomes_eight_bit_rgb() -> None:
    values = np.array([[0, 256, 65535]], np.uint16)
    assert decode_compressed_rgb(message(encode_png(values)))[0, :, 0].tolist() == [0, 1, 255]


def test_transparency_is_dropped_for_rgb() -> None:
    payload = cv2.imencode('.png', np.full((2, 2, 4), (10, 20, 30, 128), np.uint8))[1].tobytes()
    assert decode_compressed(message(payload)).shape == (2, 2, 4)
    assert decode_compressed_rgb(message(payload))[0, 0].tolist() == [30, 20, 10]


def test_grey_jpeg_becomes_rgb() -> None:
    grey = encode_jpeg(np.full((8, 8), 90, np.uint8))
    assert decode_compressed(message(grey)).ndim == 2
    assert decode_compressed_rgb(message(grey)).shape == (8, 8, 3)


def test_progressive_jpeg_is_read() -> None:
    done, payload = cv2.imencode('.jpg', smooth_picture(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert done
    assert decode_compressed_rgb(message(payload.tobytes())).shape == (32, 48, 3)


def test_the_bytes_count_and_not_the_format_string() -> None:
    assert decode_compressed_rgb(message(JPEG, 'png')).shape == (32, 48, 3)
    assert decode_compressed_rgb(message(PNG, 'nonsense')).shape == (32, 48, 3)


def test_padding_behind_the_picture_is_no_damage() -> None:
    assert decode_compressed_rgb(message(JPEG + bytes(64))).shape == (32, 48, 3)


@pytest.mark.parametrize('length', range(1, len(JPEG), 13))
def test_jpeg_that_was_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ImageError, match=r'cut short|neither JPEG nor PNG'):
        decode_compressed(message(JPEG[:length]))


@pytest.mark.parametrize('length', range(1, len(PNG), 13))
def test_png_that_was_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ImageError, match=r'cut short|neither JPEG nor PNG'):
        decode_compressed(message(PNG[:length]))


@pytest.mark.parametrize(
    ('payload', 'sentence'),
    [
        (b'', '0 bytes'),
        (b'GIF89a......', 'neither JPEG nor PNG: it begins with 47 49 46 38'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'neither JPEG nor PNG'),
        (png_with_size(60000, 60000), '60000×60000 = 3600000000 pixels, above the limit'),
        (jpeg_with_size(65000, 65000), '65000×65000'),
        (png_with_size(0, 5), 'width 0 and height 5'),
        (jpeg_with_size(0, 16), 'width 0'),
        (png_with_size(5, 5), 'damaged'),
    ],
)
def test_what_is_no_picture_is_refused_with_its_reason(payload: bytes, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        decode_compressed(message(payload))


def test_the_limit_of_pixels_is_the_callers() -> None:
    with pytest.raises(ImageError, match='max_pixels = 1535'):
        decode_compressed(message(JPEG), max_pixels=32 * 48 - 1)
    assert decode_compressed(message(JPEG), max_pixels=32 * 48).shape == (32, 48, 3)


def test_data_that_is_not_bytes_is_refused() -> None:
    with pytest.raises(ImageError, match='type str'):
        decode_compressed(SimpleNamespace(data='text'))


def test_labels_cannot_be_written_as_jpeg() -> None:
    with pytest.raises(ImageError, match='uint16'):
        encode_jpeg(np.zeros((4, 4), np.uint16))


def test_what_opencv_cannot_write_is_an_image_error() -> None:
    with pytest.raises(ImageError, match='cannot be written as png'):
        encode_png(np.zeros((0, 4), np.uint8))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([JPEG, PNG]), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8))
def test_damaged_bytes_give_a_picture_or_an_image_error(payload: bytes, damage: list[tuple[int, int]]) -> None:
    broken = bytearray(payload)
    for position, value in damage:
        broken[position % len(broken)] = value
    try:
        pixels = decode_compressed(message(bytes(broken)), max_pixels=100_000)
    except ImageError:
        return
    assert pixels.size > 0


def mosaic_of(rgb: np.ndarray) -> np.ndarray:
    """As an RGGB sensor sees it."""
    mosaic = np.empty(rgb.shape[:2], rgb.dtype)
    mosaic[0::2, 0::2], mosaic[0::2, 1::2] = rgb[0::2, 0::2, 0], rgb[0::2, 1::2, 1]
    mosaic[1::2, 0::2], mosaic[1::2, 1::2] = rgb[1::2, 0::2, 1], rgb[1::2, 1::2, 2]
    return mosaic


@pytest.mark.parametrize(
    ('pixels', 'form'),
    [
        (mosaic_of(smooth_picture()), 'bayer_rggb8; png compressed '),
        (mosaic_of(smooth_picture()), 'bayer_rggb8; png compressed bayer_rggb8'),
        (mosaic_of(smooth_picture().astype(np.uint16) << 8), 'bayer_rggb16; png compressed '),
    ],
)
def test_a_mosaic_becomes_colours(pixels: np.ndarray, form: str) -> None:
    found = decode_compressed_rgb(message(encode_png(pixels), form))
    assert np.abs(found[4:-4, 4:-4].astype(int) - smooth_picture()[4:-4, 4:-4]).max() <= 5


def test_a_mosaic_that_became_grey_before_is_left_grey() -> None:
    grey = smooth_picture()[..., 0]
    found = decode_compressed_rgb(message(encode_png(grey), 'bayer_rggb8; png compressed mono8'))
    np.testing.assert_array_equal(found, np.stack([grey] * 3, -1))


@pytest.mark.parametrize(
    ('form', 'is_swapped'),
    [
        ('png', False),
        ('rgb8; png compressed bgr8', False),
        ('bgr8; png compressed bgr8', False),
        ('rgb8; png compressed ', False),
        ('rgb8; png compressed rgb8', True),
        ('bgr8; png compressed rgb8', True),
    ],
)
def test_the_order_of_colours_is_believed_where_it_is_told(form: str, is_swapped: bool) -> None:
    expected = smooth_picture()[..., ::-1] if is_swapped else smooth_picture()
    np.testing.assert_array_equal(decode_compressed_rgb(message(PNG, form)), expected)


@pytest.mark.parametrize(
    ('payload', 'form', 'reason'),
    [
        (PNG, '16UC1; compressedDepth png', 'holds depth, not a picture'),
        (b'\0\0\0\1\x67' + bytes(40), 'h264', 'is a piece of a video, not a picture: decode it first'),
        (b'\0\0\1\x67' + bytes(40), 'jpeg', 'is a piece of a video'),
        (JPEG, 'bgr8; hevc compressed bgr8', 'is a piece of a video'),
    ],
)
def test_what_is_no_picture_by_its_format_is_named(payload: bytes, form: str, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        decode_compressed_rgb(message(payload, form))
    assert caught.value.field == 'format'


def test_twelve_of_sixteen_bits_are_no_dark_picture() -> None:
    grey = smooth_picture()[..., 0]
    found = decode_compressed_rgb(message(encode_png(grey.astype(np.uint16) << 4), 'mono16; png compressed '))
    np.testing.assert_array_equal(found[..., 0], grey)
