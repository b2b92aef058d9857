# SPDX-License-Identifier: Apache-2.0
"""Which matrix of a CameraInfo is that of the pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cast_ros.images.camera_info import CameraModel

RAW, RECT, PLAIN = '/camera/image_raw', '/camera/image_rect_color', '/camera/image'
BENT = (-0.3, 0.1, 0.0, 0.0, 0.0)
NAN = float('nan')


def info(k: float = 200.0, p: float = 160.0, d: tuple[float, ...] = BENT, **changes: Any) -> SimpleNamespace:
    """A camera with this fx and fy in K and in P."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    message = SimpleNamespace(
        width=256,
        height=128,
        k=[k, 0, 128, 0, k, 64, 0, 0, 1] if k else [0.0] * 9,
        p=[p, 0, 128, 0, 0, p, 64, 0, 0, 0, 1, 0] if p else [0.0] * 12,
        d=list(d),
        r=[1, 0, 0, 0, 1, 0, 0, 0, 1],
        distortion_model='plumb_bob',
        roi=roi,
        binning_x=0,
        binning_y=0,
    )
    vars(message).update({'k' if name == 'matrix' else name: value for name, value in changes.items()})
    return message


@pytest.mark.parametrize(
    ('message', 'topic', 'rectified', 'fx_px'),
    [
        pytest.param(info(), RECT, 'auto', 160.0, id='rectified by name'),
        pytest.param(info(), f'{RECT}/compressed', 'auto', 160.0, id='rectified by name, compressed'),
        pytest.param(info(), RAW, 'auto', 200.0, id='raw by name'),
        pytest.param(info(), PLAIN, 'auto', 200.0, id='distortion'),
        pytest.param(info(d=(0.0,) * 5), PLAIN, 'auto', 160.0, id='no distortion left'),
        pytest.param(info(d=()), PLAIN, 'auto', 160.0, id='no distortion told'),
        pytest.param(info(d=()), RAW, 'auto', 200.0, id='raw by name, without distortion'),
        pytest.param(info(), PLAIN, 'true', 160.0, id='a person says rectified'),
        pytest.param(info(), RECT, 'false', 200.0, id='a person says raw'),
        pytest.param(info(p=0), RECT, 'auto', 200.0, id='P left empty'),
        pytest.param(info(p=0), RECT, 'true', 200.0, id='P left empty, a person says rectified'),
        pytest.param(info(k=0), RAW, 'auto', 160.0, id='K left empty'),
        pytest.param(info(k=0), RAW, 'false', None, id='K left empty, a person says raw'),
        pytest.param(info(k=0, p=0), RAW, 'auto', None, id='both empty'),
        pytest.param(info(binning_x=2), RECT, 'auto', 80.0, id='binned'),
    ],
)
def test_the_matrix_that_holds_gives_the_focal_length(
    message: SimpleNamespace, topic: str, rectified: Any, fx_px: float | None
) -> None:
    assert CameraModel.of(message, topic, rectified).fx_px == fx_px


@pytest.mark.parametrize(
    ('message', 'problem'),
    [
        (info(k=-200.0), 'the focal length K[0] is -200'),
        (info(matrix=[200, 0, 128, 0, 0, 64, 0, 0, 1]), 'the focal length K[4] is 0'),
        (info(matrix=[NAN, 0, 128, 0, 200, 64, 0, 0, 1]), 'K[0] is nan'),
        (info(matrix=[200, 0, 128, 0, 200, float('inf'), 0, 0, 1]), 'K[5] is inf'),
        (info(matrix=[200, NAN, 128, 0, 200, 64, 0, 0, 1]), 'K[1] is nan'),
        (info(k=0, p=0), 'K is zero'),
    ],
)
def test_numbers_that_no_camera_has_are_named(message: SimpleNamespace, problem: str) -> None:
    model = CameraModel.of(message, RAW)
    assert (model.problem, model.fx_px) == (problem, None)


def test_a_bad_number_in_the_matrix_that_holds_is_named_with_it() -> None:
    assert CameraModel.of(info(p=-160.0), RECT).problem == 'the focal length P[0] is -160'


def test_a_damaged_matrix_is_never_passed_over_for_the_other() -> None:
    assert CameraModel.of(info(-200.0, d=()), RECT).problem == 'the focal length K[0] is -200'
    assert CameraModel.of(info(p=NAN), RAW).problem == 'P[0] is nan'


def test_a_person_is_asked_where_name_and_numbers_leave_it_open() -> None:
    assert "set rectified to 'true'" in CameraModel.of(info(), PLAIN).doubt
    settled = [CameraModel.of(info(), RAW), CameraModel.of(info(), RECT), CameraModel.of(info(), PLAIN, 'false')]
    settled += [CameraModel.of(info(p=199.0), PLAIN)]  # half a percent: the margins of a calibration
    assert [model.doubt for model in settled] == [''] * 4


def test_a_person_is_asked_where_the_principal_point_alone_differs() -> None:
    shifted = [200.0, 0, 128, 0, 0, 200, 70, 0, 0, 0, 1, 0]  # 6 px of 200: points lie 3 % of their z beside
    message = info()
    message.p = shifted
    assert CameraModel.of(message, PLAIN).doubt.startswith('cy is 64 in K and 70 in P of camera_info, and K is used')


@pytest.mark.parametrize(('p', 'published_fx'), [(0.0, 200.0), (-160.0, 200.0), (NAN, 200.0), (160.0, 160.0)])
def test_a_p_that_no_camera_has_is_filled_from_k(p: float, published_fx: float) -> None:
    scaled = CameraModel.of(info(p=p), PLAIN, 'false').scaled(256, 128)
    assert (scaled.k[0], scaled.p[0], scaled.p[5]) == (200.0, published_fx, published_fx)


@pytest.mark.parametrize(
    ('message', 'topic', 'fx_px'),
    [
        pytest.param(info(), '/stereo/depth', 160.0, id='as depth_image_proc reads it'),
        pytest.param(info(), '/depth/image_rect', 160.0, id='rectified by name'),
        pytest.param(info(), '/depth/image_raw/compressedDepth', 200.0, id='raw by name'),
        pytest.param(info(p=0), '/stereo/depth', 200.0, id='P left empty'),
    ],
)
def test_depth_images_are_rectified_unless_their_name_says_raw(
    message: SimpleNamespace, topic: str, fx_px: float
) -> None:
    assert CameraModel.of_depth(message, topic).fx_px == fx_px
