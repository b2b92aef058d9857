# SPDX-License-Identifier: Apache-2.0
"""From camera_info to the camera of a kept picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cast_ros.offline.bags import typestore
from cast_ros.offline.bags.messages import camera_info
from cast_train.data.bag_cameras import Calibrations
from cast_train.data.frames_manifest import Camera

TOPIC = '/camera/image_raw'


def info(**changes: Any) -> Any:
    message = camera_info(0, 'camera', (640, 480), (500.0, 510.0), (320.0, 240.0))
    message.d = np.array([0.1, -0.2, 0.0, 0.0, 0.05])
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def region(x: int, y: int, width: int, height: int) -> Any:
    return typestore().types['sensor_msgs/msg/RegionOfInterest'](x, y, height, width, False)


def camera_of(
    message: Any, picture_px: tuple[int, int], kept_px: tuple[int, int], topic: str = TOPIC, rectified: Any = 'auto'
) -> Camera | None:
    """Of a picture of this size that was resized, in a recording with this camera_info."""
    calibrations = Calibrations(topic, rectified)
    calibrations.add(0, message)
    found = calibrations.nearest(0, 'camera', picture_px)
    return None if found is None else found.camera(kept_px)


def test_a_camera_is_scaled_with_its_picture_and_keeps_its_distortion() -> None:
    found = camera_of(info(), (640, 480), (320, 120))
    assert found is not None
    assert (found.fx_px, found.fy_px, found.cx_px, found.cy_px) == (250.0, 127.5, 160.0, 60.0)
    assert (found.distortion_model, found.distortion) == ('plumb_bob', (0.1, -0.2, 0.0, 0.0, 0.05))


def test_region_of_interest_and_binning_are_applied() -> None:
    message = info(roi=region(100, 40, 400, 200), binning_x=2, binning_y=2)
    found = camera_of(message, (200, 100), (100, 50))
    assert found is not None
    assert (found.fx_px, found.fy_px, found.cx_px, found.cy_px) == (125.0, 127.5, 55.0, 50.0)


@pytest.mark.parametrize('matrix', [np.zeros(9), np.full(9, np.nan), -np.ones(9)])
def test_an_uncalibrated_camera_is_none(matrix: np.ndarray) -> None:
    assert camera_of(info(k=matrix, p=np.zeros(12)), (640, 480), (640, 480)) is None


def test_distortion_that_is_no_number_leaves_the_camera_unknown() -> None:
    assert camera_of(info(d=np.array([np.nan])), (640, 480), (640, 480)) is None


def test_a_calibration_of_another_size_or_frame_is_none() -> None:
    assert camera_of(info(), (320, 240), (320, 240)) is None
    left = info()
    left.header.frame_id = 'left'
    assert camera_of(left, (640, 480), (640, 480)) is None


def test_the_nearest_that_fits_and_can_be_used_counts() -> None:
    calibrations = Calibrations(TOPIC)
    near, far = info(), info(k=np.array([600.0, 0, 320, 0, 600, 240, 0, 0, 1]))
    left, empty = info(), info(k=np.zeros(9), p=np.zeros(12))
    left.header.frame_id = 'left'
    for stamp, message in ((300, far), (100, near), (110, left), (120, info(width=64)), (130, empty)):
        calibrations.add(stamp, message)
    found = [calibrations.nearest(stamp, 'camera', (640, 480)) for stamp in (0, 130, 250)]
    assert [None if one is None else one.matrix[0] for one in found] == [500.0, 500.0, 600.0]
    assert len(calibrations) == 5
    assert Calibrations(TOPIC).nearest(5, 'camera', (640, 480)) is None


P = np.array([400.0, 0, 310, 0, 0, 400, 230, 0, 0, 0, 1, 0])


def test_a_rectified_picture_has_the_focal_length_of_p_and_no_distortion() -> None:
    found = camera_of(info(p=P), (640, 480), (320, 240), '/camera/image_rect')
    assert found is not None
    assert (found.fx_px, found.fy_px, found.cx_px, found.cy_px) == (200.0, 200.0, 155.0, 115.0)
    assert set(found.distortion) == {0.0}


@pytest.mark.parametrize(('rectified', 'fx_px'), [('auto', 500.0), ('false', 500.0), ('true', 400.0)])
def test_a_person_may_say_what_the_pictures_are(rectified: str, fx_px: float) -> None:
    found = camera_of(info(p=P), (640, 480), (640, 480), '/camera/image', rectified)
    assert found is not None
    assert found.fx_px == fx_px
