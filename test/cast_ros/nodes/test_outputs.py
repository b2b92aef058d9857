# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from tiny_student import CAP_M, CLASSES, FOCAL_REFERENCE_PX

from cast_ros.images import decode_image
from cast_ros.nodes import outputs
from cast_ros.nodes.outputs import OUTPUTS, Answer, depth_to_millimetres, needed_heads
from cast_ros.student import DepthSpec, InputSpec, Prediction, StudentContract

CONTRACT = StudentContract(
    name='two heads',
    version='1',
    license='Apache-2.0',
    input=InputSpec(height=4, width=8),
    classes=CLASSES,
    outputs=('scores', 'labels', 'masks', 'semantic', 'depth'),
    depth=DepthSpec(cap_m=CAP_M, focal_reference_px=FOCAL_REFERENCE_PX),
)


def answer(camera_info: CameraInfo | None = None) -> Answer:
    """Half the size of an 8 x 16 picture; one person in the right half."""
    ids = np.zeros((4, 8), np.uint16)
    ids[:, 4:] = 1
    depth = np.full((4, 8), 2.0, np.float32)
    depth[0] = np.inf
    prediction = Prediction(
        height=4,
        width=8,
        image_height=8,
        image_width=16,
        boxes=np.array([[4, 0, 8, 4]], np.float32),
        labels=np.array([2]),
        scores=np.array([0.75], np.float32),
        instance_ids=ids,
        semantic=np.where(ids > 0, 2, 255).astype(np.uint8),
        depth=depth,
    )
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 12, 34
    return Answer(header, np.zeros((8, 16, 3), np.uint8), prediction, CONTRACT, camera_info, 0.5)


def test_detections_are_in_pixels_of_the_picture_with_class_names_and_ids() -> None:
    message = outputs.detections_message(answer())
    assert (message.header.frame_id, message.header.stamp.sec, message.header.stamp.nanosec) == ('camera', 12, 34)
    (detection,) = message.detections
    assert detection.header == message.header
    assert detection.id == '1'
    assert detection.results[0].hypothesis.class_id == 'person'
    assert detection.results[0].hypothesis.score == 0.75
    centre = detection.bbox.center.position
    assert (centre.x, centre.y, detection.bbox.size_x, detection.bbox.size_y) == (12.0, 4.0, 8.0, 8.0)


def test_maps_keep_their_values() -> None:
    given = answer()
    np.testing.assert_array_equal(decode_image(outputs.instances_message(given)), given.prediction.instance_ids)
    np.testing.assert_array_equal(decode_image(outputs.semantic_message(given)), given.prediction.semantic)
    np.testing.assert_array_equal(decode_image(outputs.depth_message(given)), given.prediction.depth)
    assert decode_image(outputs.depth_raw_message(given))[:, 0].tolist() == [0, 2000, 2000, 2000]


def test_the_overlay_has_the_size_of_the_picture() -> None:
    message = outputs.overlay_message(answer())
    assert (message.width, message.height, message.encoding) == (16, 8, 'bgr8')


def test_depth_camera_info_waits_for_a_calibration_and_then_fits_the_map() -> None:
    assert outputs.depth_camera_info_message(answer()) is None
    info = CameraInfo(width=16, height=8, k=[10.0, 0.0, 8.0, 0.0, 10.0, 4.0, 0.0, 0.0, 1.0])
    message = outputs.depth_camera_info_message(answer(info))
    assert message is not None
    assert (message.width, message.height) == (8, 4)
    assert message.k.tolist() == [5.0, 0.0, 4.0, 0.0, 5.0, 2.0, 0.0, 0.0, 1.0]


def test_millimetres_are_rounded_and_zero_where_16_bits_have_no_answer() -> None:
    depth_m = np.array([[0.001, 1.0004, 1.0006, 65.535, 65.536, 80.0, np.inf, -np.inf, np.nan, 0.0, -3.0]], np.float32)
    expected = [1, 1000, 1001, 65535, 0, 0, 0, 0, 0, 0, 0]
    with np.errstate(all='raise'):
        assert depth_to_millimetres(depth_m)[0].tolist() == expected


def test_label_info_names_every_class() -> None:
    message = outputs.label_info_message(CONTRACT, Header().stamp, 0.4)
    assert [(entry.class_id, entry.class_name) for entry in message.class_map] == [
        (0, 'road'),
        (1, 'sky'),
        (2, 'person'),
        (3, 'car'),
    ]


def test_only_the_heads_of_wanted_outputs_are_needed() -> None:
    by_name = {output.name: output for output in OUTPUTS}
    assert needed_heads(()) == frozenset()
    assert needed_heads((by_name['depth'], by_name['depth_raw'])) == {'depth'}
    assert needed_heads((by_name['detections'], by_name['semantic'])) == {'instances', 'semantic'}
    assert needed_heads((by_name['overlay'],)) == {'instances', 'semantic', 'depth'}
