# SPDX-License-Identifier: Apache-2.0
"""Which CameraInfo belongs to a picture."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cast_ros.images.camera_infos import CameraInfoCache, RecordedCameraInfos


def header(frame_id: str = 'camera') -> SimpleNamespace:
    return SimpleNamespace(frame_id=frame_id)


def info(frame_id: str = 'camera', width: int = 640, height: int = 480) -> SimpleNamespace:
    roi = SimpleNamespace(width=0, height=0)
    return SimpleNamespace(header=header(frame_id), width=width, height=height, binning_x=0, binning_y=0, roi=roi)


def cache(*infos: SimpleNamespace) -> CameraInfoCache:
    known = CameraInfoCache()
    for one in infos:
        known.remember(one)
    return known


def test_the_newest_of_the_frame_and_size_is_found() -> None:
    older, newer = info(), info()
    known = cache(older, newer, info('other'), info(width=320, height=240))
    assert known.matching(header(), 640, 480) is newer
    assert known.matching(header('nobody'), 640, 480) is None
    assert known.matching(header(), 100, 100) is None


@pytest.mark.parametrize(('of_info', 'of_picture'), [('/camera', 'camera'), ('camera', '/camera')])
def test_a_leading_slash_of_ros_1_makes_no_other_frame(of_info: str, of_picture: str) -> None:
    assert cache(info(of_info)).matching(header(of_picture), 640, 480) is not None


def test_a_driver_that_invents_frames_does_not_fill_the_memory() -> None:
    known = cache(*(info(f'frame_{number}') for number in range(100)))
    assert len(known) == 16
    assert known.matching(header('frame_99'), 640, 480) is not None
    assert known.matching(header('frame_0'), 640, 480) is None


@pytest.mark.parametrize(
    ('known', 'reason'),
    [
        (cache(), "no camera_info for frame 'camera' with 640x480 pixels"),
        (cache(info(width=320, height=240)), 'camera_info is for 320x240 pixels, the picture has 640x480'),
        (cache(info('left')), "camera_info is of frame 'left', the picture of 'camera'"),
        (cache(info(width=0, height=0)), 'camera_info is for 0x0 pixels (the driver leaves its size empty)'),
        (cache(info(width=320, height=240), info('left')), 'camera_info is for 320x240 pixels'),
    ],
)
def test_the_reason_names_what_there_is_instead(known: CameraInfoCache, reason: str) -> None:
    assert reason in known.why_none(header(), 640, 480)


def test_a_copy_does_not_learn_what_comes_later() -> None:
    known = cache(info())
    copy = known.copy()
    known.remember(info('late'))
    assert copy.matching(header('late'), 640, 480) is None
    assert copy.matching(header(), 640, 480) is not None


def test_of_a_recording_the_nearest_in_time_that_fits_is_found() -> None:
    recorded = RecordedCameraInfos[str]()
    for stamp, name in ((300, 'third'), (100, 'first'), (200, 'second')):
        recorded.add(stamp, info('/camera'), name)
    found = [recorded.nearest(stamp, 'camera', 640, 480) for stamp in (0, 100, 149, 151, 260, 900)]
    assert found == ['first', 'first', 'first', 'second', 'third', 'third']


def test_of_a_recording_a_nearer_one_that_does_not_fit_is_passed_over() -> None:
    recorded = RecordedCameraInfos[str]()
    recorded.add(100, info(), 'own')
    recorded.add(200, info('left'), 'of another frame')
    recorded.add(200, info(width=320, height=240), 'of another size')
    assert recorded.nearest(200, 'camera', 640, 480) == 'own'
    assert recorded.nearest(200, 'right', 640, 480) is None
    assert recorded.nearest(200, 'camera', 100, 100) is None
