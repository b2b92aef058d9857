# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from cast_ros.errors import ImageError
from cast_ros.nodes.image_codec import CvBridge
from cast_ros.nodes.messages import image_message

BRIDGE = CvBridge()
RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def over_the_wire(message: Image) -> Image:
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize(
    ('array', 'encoding'),
    [
        (RGB, 'rgb8'),
        (RGB, '8UC3'),
        (RGB[..., 0], 'mono8'),
        (np.array([[1, 65535], [300, 0]], np.uint16), '16UC1'),
        (np.array([[np.nan, np.inf, -1.5]], np.float32), '32FC1'),
        (RGB[:, ::2], 'bgr8'),
    ],
)
def test_an_array_survives_the_wire(array: np.ndarray, encoding: str) -> None:
    header = Header(frame_id='camera')
    message = over_the_wire(BRIDGE.cv2_to_imgmsg(array, encoding, header))
    assert (message.header, message.encoding) == (header, encoding)
    assert (message.height, message.width) == array.shape[:2]
    assert message.step * message.height == len(message.data)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), array)


@pytest.mark.parametrize(
    ('array', 'name'),
    [
        (RGB, '8UC3'),
        (RGB[..., 0], '8UC1'),
        (np.zeros((2, 2), np.uint16), '16UC1'),
        (np.zeros((2, 2), np.float32), '32FC1'),
    ],
)
def test_passthrough_names_the_type_of_the_array(array: np.ndarray, name: str) -> None:
    assert BRIDGE.cv2_to_imgmsg(array).encoding == name


@pytest.mark.parametrize(
    ('desired', 'expected'),
    [
        ('rgb8', RGB),
        ('passthrough', RGB),
        ('bgr8', RGB[..., ::-1]),
        ('mono8', cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)),
        ('bgra8', cv2.cvtColor(RGB, cv2.COLOR_RGB2BGRA)),
    ],
)
def test_a_picture_comes_in_the_encoding_asked_for(desired: str, expected: np.ndarray) -> None:
    message = image_message(RGB, 'rgb8', Header())
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, desired), expected)


def test_opacity_is_kept_where_it_is_asked_for() -> None:
    rgba = np.dstack([RGB, RGB[..., 0]])
    message = image_message(rgba, 'rgba8', Header())
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, 'bgra8'), rgba[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, 'bgr8'), RGB[..., ::-1])


def test_names_of_the_same_pixels_are_interchangeable() -> None:
    depth = np.array([[1, 2]], np.uint16)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(image_message(depth, '16UC1', Header()), 'mono16'), depth)


@pytest.mark.parametrize('desired', ['32FC1', 'nonsense'])
def test_an_impossible_conversion_is_refused(desired: str) -> None:
    with pytest.raises(ImageError, match=f"cannot be converted to '{desired}'"):
        BRIDGE.imgmsg_to_cv2(image_message(RGB, 'rgb8', Header()), desired)


def test_an_array_that_does_not_fit_its_encoding_is_refused() -> None:
    with pytest.raises(ImageError, match='float64'):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2)), '32FC1')
    with pytest.raises(ImageError, match='64FC1'):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2)))


def test_compressed_pictures_keep_opencv_s_colour_order() -> None:
    bgr = np.zeros((16, 16, 3), np.uint8)
    bgr[..., 2] = 200
    png = over_the_wire(BRIDGE.cv2_to_compressed_imgmsg(bgr, 'png'))
    assert png.format == 'png'
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(png), bgr)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(png, 'rgb8'), bgr[..., ::-1])
    jpeg = BRIDGE.cv2_to_compressed_imgmsg(bgr)
    assert np.abs(BRIDGE.compressed_imgmsg_to_cv2(jpeg, 'bgr8').astype(int) - bgr).max() < 10


def test_opacity_survives_a_png_and_is_lost_by_a_jpeg() -> None:
    bgra = np.zeros((16, 16, 4), np.uint8)
    bgra[...] = (10, 20, 200, 77)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(BRIDGE.cv2_to_compressed_imgmsg(bgra, 'png')), bgra)
    jpeg = BRIDGE.compressed_imgmsg_to_cv2(BRIDGE.cv2_to_compressed_imgmsg(bgra))
    assert np.abs(jpeg.astype(int) - bgra[..., :3]).max() < 10


def test_16_bit_png_keeps_its_values() -> None:
    depth = np.array([[0, 1, 65535]], np.uint16)
    message = BRIDGE.cv2_to_compressed_imgmsg(depth, 'png')
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), depth)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message, 'mono16'), depth)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message, 'mono8'), [[0, 0, 255]])


def test_bad_compressed_data_and_formats_are_refused() -> None:
    with pytest.raises(ImageError, match='0 bytes'):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage())
    with pytest.raises(ImageError, match="'webp' is not known"):
        BRIDGE.cv2_to_compressed_imgmsg(RGB, 'webp')  # type: ignore[arg-type]
