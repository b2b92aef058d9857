# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from cast_ros.images.camera_info import picture_size
from cast_ros.offline.bags import typestore
from cast_ros.offline.bags.message_types import camera_info_beside
from cast_ros.offline.bags.messages import camera_info


@pytest.mark.parametrize(
    ('topic', 'beside'),
    [
        ('/camera/image_raw', '/camera/camera_info'),
        ('/camera/image_raw/compressed', '/camera/camera_info'),
        ('/depth/image_raw/compressedDepth', '/depth/camera_info'),
        ('/image', '/camera_info'),
        ('image', 'camera_info'),
    ],
)
def test_camera_info_lies_beside_the_pictures(topic: str, beside: str) -> None:
    assert camera_info_beside(topic) == beside


def test_a_calibration_is_for_pictures_of_its_region_binned() -> None:
    info = camera_info(0, 'camera', (640, 480), (500.0, 500.0), (320.0, 240.0))
    assert picture_size(info) == (640, 480)
    info.binning_x, info.binning_y = 2, 0
    assert picture_size(info) == (320, 480)
    info.roi = typestore().types['sensor_msgs/msg/RegionOfInterest'](10, 20, 100, 200, False)
    assert picture_size(info) == (100, 100)
