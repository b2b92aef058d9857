# SPDX-License-Identifier: Apache-2.0
"""JPEG files that lost data on the way."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cast_ros.errors import ImageError
from cast_ros.images import decode_compressed, encode_jpeg

RNG = np.random.default_rng(0)
PICTURE = cv2.GaussianBlur(RNG.integers(0, 255, (240, 320, 3)).astype(np.uint8), (9, 9), 3)


def jpeg(*flags: int, picture: np.ndarray = PICTURE) -> bytes:
    done, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 80, *flags])
    assert done
    return data.tobytes()


def decoded(data: bytes) -> np.ndarray:
    return decode_compressed(SimpleNamespace(format='jpeg', data=data))


FORMS = {
    'baseline': jpeg(),
    'with restart markers': jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
    'progressive': jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'grey': jpeg(picture=PICTURE[..., 0]),
}


@pytest.mark.parametrize('data', FORMS.values(), ids=FORMS)
def test_a_whole_file_is_what_opencv_decodes(data: bytes) -> None:
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded(data), expected[..., ::-1] if expected.ndim == 3 else expected)


@pytest.mark.parametrize('lost', [200, 500, 1500])
@pytest.mark.parametrize('data', FORMS.values(), ids=FORMS)
def test_a_hole_in_the_middle_is_refused(data: bytes, lost: int) -> None:
    for start in range(len(data) // 3, len(data) - lost - 100, len(data) // 7):
        with pytest.raises(ImageError, match=r'lost data on the way|cut short or damaged|gave up'):
            decoded(data[:start] + data[start + lost :])
        with pytest.raises(ImageError, match=r'lost data on the way|cut short or damaged|gave up'):
            decoded(data[:start] + bytes(lost) + data[start + lost :])


@pytest.mark.parametrize('data', FORMS.values(), ids=FORMS)
def test_padding_is_no_damage(data: bytes) -> None:
    for padded in (
        data + bytes(100),
        data[:-2] + bytes(64) + data[-2:],
        data[:-2] + b'\xff' * 9 + data[-2:],
        data[:2] + b'\xff' * 3 + data[2:],
    ):
        np.testing.assert_array_equal(decoded(padded), decoded(data))


def test_subsampling_of_every_kind_decodes() -> None:
    for factor in (0x111111, 0x211111, 0x221111, 0x411111):
        assert decoded(jpeg(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)).shape == PICTURE.shape
    assert decoded(encode_jpeg(PICTURE)).shape == PICTURE.shape
