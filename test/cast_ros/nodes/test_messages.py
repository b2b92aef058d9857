# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from cast_ros.images.camera_info import CameraModel, picture_size
from cast_ros.nodes.messages import image_message, image_message_to_publish, scaled_camera_info

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize('array', [RGB, RGB[:, ::2], RGB[1:3]])
def test_a_borrowed_array_is_published_as_it_is(array: np.ndarray) -> None:
    message = deserialize_message(
        serialize_message(image_message_to_publish(array, 'rgb8', Header(frame_id='camera'))), Image
    )
    assert message == image_message(array, 'rgb8', Header(frame_id='camera'))


def camera_info(frame_id: str = 'camera', width: int = 640, height: int = 480) -> CameraInfo:
    return CameraInfo(
        header=Header(frame_id=frame_id),
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=[0.1, -0.2, 0.0, 0.0, 0.0],
        k=[500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[500.0, 0.0, 320.0, -50.0, 0.0, 510.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def scaled_of(info: CameraInfo, header: Header, width: int, height: int) -> CameraInfo:
    return scaled_camera_info(CameraModel.of(info, '/camera/image_raw'), header, width, height)


def focal_length_px(info: CameraInfo) -> float | None:
    return CameraModel.of(info, '/camera/image_raw').fx_px


def test_the_same_size_changes_nothing_but_the_header() -> None:
    info = camera_info()
    scaled = scaled_of(info, Header(frame_id='other'), 640, 480)
    assert scaled.header.frame_id == 'other'
    scaled.header = info.header
    assert scaled == info


def test_each_axis_is_scaled_by_its_own_factor_and_the_baseline_with_fx() -> None:
    scaled = scaled_of(camera_info(), Header(), 320, 120)
    assert scaled.k.tolist() == [250.0, 0.0, 160.0, 0.0, 127.5, 60.0, 0.0, 0.0, 1.0]
    assert scaled.p.tolist() == [250.0, 0.0, 160.0, -25.0, 0.0, 127.5, 60.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert list(scaled.d) == [0.1, -0.2, 0.0, 0.0, 0.0]


def test_region_of_interest_and_binning_are_applied_once() -> None:
    info = camera_info()
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 20, 40, 400, 200
    info.binning_x, info.binning_y = 2, 4
    assert picture_size(info) == (200, 50)
    assert focal_length_px(info) == 250.0
    scaled = scaled_of(info, Header(), 200, 50)
    assert scaled.k.tolist() == [250.0, 0.0, 150.0, 0.0, 127.5, 50.0, 0.0, 0.0, 1.0]
    assert (scaled.binning_x, scaled.binning_y, scaled.roi.width, scaled.roi.x_offset) == (0, 0, 0, 0)
    assert picture_size(scaled) == (200, 50)


def test_binning_that_leaves_a_last_column_out_does_not_make_pixels_wider() -> None:
    info = camera_info(width=641)
    info.binning_x = 2
    assert picture_size(info) == (320, 480)
    scaled = scaled_of(info, Header(), 320, 480)
    assert scaled.k[0] == focal_length_px(info) == 250.0
    assert scaled.k[2] == 160.0


@pytest.mark.parametrize('fx', [0.0, -1.0, float('nan'), float('inf')])
def test_a_camera_without_a_usable_focal_length_has_none(fx: float) -> None:
    info = camera_info()
    info.k[0] = fx
    assert focal_length_px(info) is None


def test_an_uncalibrated_camera_stays_uncalibrated() -> None:
    info = CameraInfo(width=640, height=480)
    info.roi.x_offset = 10
    info.roi.width, info.roi.height = 100, 100
    scaled = scaled_of(info, Header(), 50, 50)
    assert not scaled.k.any()
    assert not scaled.p.any()


def test_zeros_in_p_and_r_become_those_of_a_camera_that_nobody_rectified() -> None:
    info = camera_info()
    info.p, info.r = np.zeros(12), np.zeros(9)
    scaled = scaled_of(info, Header(), 320, 240)
    assert scaled.p.tolist() == [250.0, 0.0, 160.0, 0.0, 0.0, 255.0, 120.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert scaled.r.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def test_the_map_of_a_rectified_picture_reads_the_same_in_k_and_p() -> None:
    info = camera_info()
    info.p = np.array([400.0, 0, 300, -40, 0, 400, 220, 0, 0, 0, 1, 0])
    model = CameraModel.of(info, '/camera/image_rect_color/compressed')
    scaled = scaled_camera_info(model, Header(), 320, 240)
    assert scaled.k.tolist() == [200.0, 0.0, 150.0, 0.0, 200.0, 110.0, 0.0, 0.0, 1.0]
    assert scaled.p.tolist() == [200.0, 0.0, 150.0, -20.0, 0.0, 200.0, 110.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert not any(scaled.d)
