# SPDX-License-Identifier: Apache-2.0
"""From camera_info to the camera of a kept picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cast_ros.offline.bags import typestore
from cast_ros.offline.bags.messages import camera_info
from cast_train.data.bag_cameras import Calibration, Calibrations

TOPIC = '/camera/image_raw'


def info(**changes: Any) -> Any:
    message = camera_info(0, 'camera', (640, 480), (500.0, 510.0), (320.0, 240.0))
    message.d = np.array([0.1, -0.2, 0.0, 0.0, 0.05])
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def region(x: int, y: int, width: int, height: int) -> Any:
    return typestore().types['sensor_msgs/msg/RegionOfInterest'](x, y, height, width, False)


def test_a_camera_is_scaled_with_its_picture_and_keeps_its_distortion() -> None:
    found = Calibration.of_message(info(), TOPIC).camera((640, 480), 'camera', (320, 120))
    assert found is not None
    assert (found.fx_px, found.fy_px, found.cx_px, found.cy_px) == (250.0, 127.5, 160.0, 60.0)
    assert (found.distortion_model, found.distortion) == ('plumb_bob', (0.1, -0.2, 0.0, 0.0, 0.05))


def test_region_of_interest_and_binning_are_applied() -> None:
    message = info(roi=region(100, 40, 400, 200), binning_x=2, binning_y=2)
    found = Calibration.of_message(message, TOPIC).camera((200, 100), 'camera', (100, 50))
    assert found is not None
    assert (found.fx_px, found.fy_px, found.cx_px, found.cy_px) == (125.0, 127.5, 55.0, 50.0)


@pytest.mark.parametrize('matrix', [np.zeros(9), np.full(9, np.nan), -np.ones(9)])
def test_an_uncalibrated_camera_is_none(matrix: np.ndarray) -> None:
    assert (
        Calibration.of_message(info(k=matrix, p=np.zeros(12)), TOPIC).camera((640, 480), 'camera', (640, 480)) is None
    )


def test_a_calibration_of_another_size_is_none() -> None:
    assert Calibration.of_message(info(), TOPIC).camera((320, 240), 'camera', (320, 240)) is None


def test_the_nearest_in_time_counts_whether_before_or_after() -> None:
    calibrations = Calibrations()
    for stamp, width in ((300, 3), (100, 1), (200, 2)):
        calibrations.add(stamp, info(width=width), TOPIC)
    found = [calibrations.nearest(stamp) for stamp in (0, 100, 149, 151, 260, 900)]
    assert [one.picture_px[0] for one in found if one is not None] == [1, 1, 1, 2, 3, 3]
    assert Calibrations().nearest(5) is None


def test_a_calibration_of_another_frame_is_none() -> None:
    assert Calibration.of_message(info(), TOPIC).camera((640, 480), 'left', (640, 480)) is None


def test_a_rectified_picture_has_the_focal_length_of_p_and_no_distortion() -> None:
    p = np.array([400.0, 0, 310, 0, 0, 400, 230, 0, 0, 0, 1, 0])
    found = Calibration.of_message(info(p=p), '/camera/image_rect').camera((640, 480), 'camera', (320, 240))
    assert found is not None
    assert (found.fx_px, found.fy_px, found.cx_px, found.cy_px) == (200.0, 200.0, 155.0, 115.0)
    assert set(found.distortion) == {0.0}
