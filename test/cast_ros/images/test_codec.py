# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import array
import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cast_ros.errors import ImageError
from cast_ros.images import ENCODINGS, decode_image, decode_rgb, image_fields, to_rgb

RNG = np.random.default_rng(7)
HEIGHT, WIDTH = 6, 8


def message(pixels: np.ndarray, as_encoding: str, **changes: Any) -> SimpleNamespace:
    """An Image message, the rclpy way: data is an array.array."""
    fields = image_fields(pixels, as_encoding)
    values = {
        'height': fields.height,
        'width': fields.width,
        'encoding': as_encoding,
        'is_bigendian': fields.is_bigendian,
        'step': fields.step,
        'data': array.array('B', fields.data.tobytes()),
    }
    return SimpleNamespace(**{**values, **changes})


def random_pixels(encoding: str) -> np.ndarray:
    entry = ENCODINGS[encoding]
    rows = HEIGHT * entry.rows_per_two // 2
    shape = (rows, WIDTH) if entry.channels == 1 else (rows, WIDTH, entry.channels)
    dtype = np.dtype(entry.dtype)
    if dtype.kind == 'f':
        return RNG.normal(size=shape).astype(dtype)
    return RNG.integers(0, 250, size=shape).astype(dtype) * (257 if dtype == np.uint16 else 1)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_every_encoding_survives_the_round_trip(encoding: str) -> None:
    pixels = random_pixels(encoding)
    decoded = decode_image(message(pixels, encoding))
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype == pixels.dtype


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_padded_rows_are_cropped(encoding: str) -> None:
    pixels = random_pixels(encoding)
    step = image_fields(pixels, encoding).step + 5
    padded = np.full((len(pixels), step), 77, dtype=np.uint8)
    padded[:, : step - 5] = image_fields(pixels, encoding).data.reshape(len(pixels), -1)
    decoded = decode_image(message(pixels, encoding, step=step, data=padded.tobytes()))
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.flags.aligned


@pytest.mark.parametrize('encoding', [name for name, entry in ENCODINGS.items() if np.dtype(entry.dtype).itemsize > 1])
def test_foreign_byte_order_is_swapped(encoding: str) -> None:
    pixels = random_pixels(encoding)
    foreign = 0 if sys.byteorder == 'big' else 1
    swapped = message(pixels, encoding, is_bigendian=foreign, data=pixels.byteswap().tobytes())
    decoded = decode_image(swapped)
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype.isnative


@pytest.mark.parametrize(
    ('encoding', 'code'),
    [
        ('mono8', cv2.COLOR_GRAY2RGB),
        ('8UC1', cv2.COLOR_GRAY2RGB),
        ('bgr8', cv2.COLOR_BGR2RGB),
        ('8UC3', cv2.COLOR_BGR2RGB),
        ('bgra8', cv2.COLOR_BGRA2RGB),
        ('8UC4', cv2.COLOR_BGRA2RGB),
        ('rgba8', cv2.COLOR_RGBA2RGB),
        ('uyvy', cv2.COLOR_YUV2RGB_UYVY),
        ('yuv422', cv2.COLOR_YUV2RGB_UYVY),
        ('yuyv', cv2.COLOR_YUV2RGB_YUY2),
        ('yuv422_yuy2', cv2.COLOR_YUV2RGB_YUY2),
    ],
)
def test_colour_is_what_opencv_says(encoding: str, code: int) -> None:
    pixels = random_pixels(encoding)
    np.testing.assert_array_equal(decode_rgb(message(pixels, encoding)), cv2.cvtColor(pixels, code))


def test_rgb_passes_unchanged_and_without_a_copy() -> None:
    pixels = random_pixels('rgb8')
    sent = message(pixels, 'rgb8')
    rgb = decode_rgb(sent)
    np.testing.assert_array_equal(rgb, pixels)
    assert np.shares_memory(rgb, np.frombuffer(sent.data, np.uint8))


@pytest.mark.parametrize('encoding', ['mono16', 'rgb16', 'bgr16'])
def test_sixteen_bits_keep_their_high_byte(encoding: str) -> None:
    pixels = random_pixels(encoding)
    high = (pixels >> 8).astype(np.uint8)
    expected = {'mono16': np.stack([high] * 3, -1) if high.ndim == 2 else None, 'rgb16': high, 'bgr16': high[..., ::-1]}
    np.testing.assert_array_equal(decode_rgb(message(pixels, encoding)), expected[encoding])


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
def test_bayer_mosaic_of_one_colour_gives_that_colour(pattern: str, bits: int) -> None:
    colour = {'r': 200, 'g': 100, 'b': 50}
    mosaic = np.zeros((8, 8), np.uint16)
    for letter, (row, column) in zip(pattern, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        mosaic[row::2, column::2] = colour[letter]
    mosaic = mosaic.astype(np.uint8) if bits == 8 else mosaic * 256
    rgb = decode_rgb(message(mosaic, f'bayer_{pattern}{bits}'))
    np.testing.assert_array_equal(rgb[2:6, 2:6], np.broadcast_to([200, 100, 50], (4, 4, 3)))


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1', '16SC1', '32SC1'])
def test_numbers_are_not_taken_for_a_picture(encoding: str) -> None:
    with pytest.raises(ImageError, match=f"'{encoding}' holds numbers"):
        decode_rgb(message(random_pixels(encoding), encoding))


def test_floats_keep_nan_and_infinity() -> None:
    depth = np.array([[np.nan, np.inf], [1.5, -0.0]], np.float32)
    np.testing.assert_array_equal(decode_image(message(depth, '32FC1')), depth)


def test_a_picture_of_one_pixel_is_a_picture() -> None:
    assert decode_rgb(message(np.array([[9]], np.uint8), 'mono8')).tolist() == [[[9, 9, 9]]]


def test_more_data_than_needed_is_cut() -> None:
    pixels = random_pixels('bgr8')
    long = message(pixels, 'bgr8')
    long.data = bytes(long.data) + b'tail'
    np.testing.assert_array_equal(decode_image(long), pixels)


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'width': 0}, 'width 0 and height 6'),
        ({'height': 0}, 'width 8 and height 0'),
        ({'width': -3}, 'width -3'),
        ({'encoding': ''}, "encoding '' is not known"),
        ({'encoding': 'BGR8'}, "encoding 'BGR8' is not known; known are: mono8"),
        ({'step': 23}, 'step 23 is too small'),
        ({'step': 0}, 'step 0 is too small'),
        ({'step': 25}, 'needs 150'),
        ({'data': b''}, 'has 0 bytes'),
        ({'data': b'123'}, 'has 3 bytes'),
        ({'data': 'text'}, 'not a buffer'),
        ({'data': None}, 'not a buffer'),
        ({'width': 20000, 'height': 20000, 'step': 60000}, r'20000×20000 = 400000000 pixels, above the limit'),
    ],
)
def test_impossible_fields_are_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        decode_image(message(random_pixels('bgr8'), 'bgr8', **changes))


def test_the_limit_of_pixels_is_the_callers() -> None:
    picture = message(random_pixels('bgr8'), 'bgr8')
    assert decode_image(picture, max_pixels=HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ImageError, match='max_pixels = 47'):
        decode_image(picture, max_pixels=HEIGHT * WIDTH - 1)


def yuv_of(rgb: np.ndarray) -> np.ndarray:
    """One colour as Y, U, V in the limited range of cameras."""
    planar = cv2.cvtColor(np.full((2, 2, 3), rgb, np.uint8), cv2.COLOR_RGB2YUV_I420).reshape(-1)
    return planar[[0, 4, 5]]


@pytest.mark.parametrize('rgb', [(200, 40, 30), (10, 220, 60), (30, 60, 240), (128, 128, 128), (0, 0, 0)])
def test_planar_yuv_of_one_colour_gives_that_colour(rgb: tuple[int, int, int]) -> None:
    y, u, v = yuv_of(np.array(rgb, np.uint8))
    nv21 = np.full((6, 4), y, np.uint8)
    nv21[4:, 0::2], nv21[4:, 1::2] = v, u
    nv24 = np.full((12, 4), y, np.uint8)
    nv24[4:] = np.tile([u, v], 16).reshape(8, 4)
    nv12 = nv21.copy()
    nv12[4:, 0::2], nv12[4:, 1::2] = u, v
    i420 = nv21.copy()
    i420[4], i420[5] = u, v
    for encoding, stored in (('nv21', nv21), ('nv24', nv24), ('nv12', nv12), ('i420', i420)):
        decoded = decode_rgb(message(stored, encoding))
        assert decoded.shape == (4, 4, 3)
        np.testing.assert_allclose(decoded, np.broadcast_to(rgb, (4, 4, 3)), atol=6)


def test_planes_that_do_not_fit_are_refused() -> None:
    stored = np.zeros((6, 4), np.uint8)
    with pytest.raises(ImageError, match='image height 5 is odd'):
        decode_rgb(message(stored, 'nv21', height=5))
    with pytest.raises(ImageError, match='image width 3 is odd'):
        decode_rgb(message(stored, 'nv21', width=3))
    with pytest.raises(ImageError, match='24 bytes, but step 4 × 12 rows needs 48'):
        decode_rgb(message(stored, 'nv21', encoding='nv24'))
    with pytest.raises(ImageError, match='whose planes do not fit'):
        image_fields(np.zeros((5, 4), np.uint8), 'nv21')


def test_packed_yuv_of_odd_width_is_refused() -> None:
    odd = np.zeros((2, 3, 2), np.uint8)
    with pytest.raises(ImageError, match='width 3 is odd'):
        decode_rgb(message(odd, 'yuyv'))


@pytest.mark.parametrize(
    ('pixels', 'encoding'),
    [
        (np.zeros((2, 2), np.uint8), 'bgr8'),
        (np.zeros((2, 2, 3), np.uint16), 'bgr8'),
        (np.zeros((2, 2, 4), np.uint8), 'rgb8'),
        (np.zeros(4, np.uint8), 'mono8'),
        (np.zeros((2, 2), np.float64), '32FC1'),
    ],
)
def test_an_array_that_is_not_the_encoding_is_not_sent(pixels: np.ndarray, encoding: str) -> None:
    with pytest.raises(ImageError, match=f"cannot be sent as '{encoding}'"):
        image_fields(pixels, encoding)


def test_fields_of_a_view_are_packed() -> None:
    wide = RNG.integers(0, 255, (4, 10, 3), dtype=np.uint8)
    fields = image_fields(wide[:, ::-1], 'rgb8')
    assert fields.step == 30
    np.testing.assert_array_equal(fields.data.reshape(4, 10, 3), wide[:, ::-1])


def test_fields_share_memory_where_they_can() -> None:
    pixels = random_pixels('32FC1')
    assert np.shares_memory(image_fields(pixels, '32FC1').data, pixels)


@settings(max_examples=300, deadline=None)
@given(
    height=st.one_of(st.integers(-2, 40), st.integers(0, 2**32 - 1)),
    width=st.one_of(st.integers(-2, 40), st.integers(0, 2**32 - 1)),
    step=st.one_of(st.integers(0, 200), st.integers(0, 2**32 - 1)),
    encoding=st.one_of(st.sampled_from(sorted(ENCODINGS)), st.text(max_size=8)),
    is_bigendian=st.integers(0, 255),
    data=st.binary(max_size=4000),
)
def test_any_header_gives_a_picture_of_its_size_or_an_image_error(
    height: int, width: int, step: int, encoding: str, is_bigendian: int, data: bytes
) -> None:
    fields = SimpleNamespace(
        height=height, width=width, step=step, encoding=encoding, is_bigendian=is_bigendian, data=data
    )
    try:
        pixels = decode_image(fields)
    except ImageError:
        return
    assert pixels.shape[:2] == (height, width)
    try:
        shape = to_rgb(pixels, encoding).shape
    except ImageError:
        return
    assert shape == (height, width, 3)
