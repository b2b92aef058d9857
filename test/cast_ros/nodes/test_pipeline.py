# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from cast_ros.nodes.pipeline import CameraInfoCache


def camera_info(frame_id: str = 'camera', width: int = 640, height: int = 480) -> CameraInfo:
    return CameraInfo(header=Header(frame_id=frame_id), width=width, height=height)


def test_the_cache_answers_only_for_the_same_frame_and_size_and_keeps_the_newest() -> None:
    cache = CameraInfoCache()
    cache.remember(camera_info())
    newer = camera_info()
    newer.k[0] = 600.0
    cache.remember(newer)
    assert cache.matching(Header(frame_id='camera'), 640, 480) is newer
    assert cache.matching(Header(frame_id='camera'), 320, 240) is None
    assert cache.matching(Header(frame_id='other'), 640, 480) is None
    assert cache.sizes_of('camera') == [(640, 480)]


def test_the_cache_does_not_grow_with_invented_frame_ids() -> None:
    cache = CameraInfoCache()
    for number in range(100):
        cache.remember(camera_info(f'camera_{number}'))
    assert cache.matching(Header(frame_id='camera_99'), 640, 480) is not None
    assert cache.matching(Header(frame_id='camera_0'), 640, 480) is None
