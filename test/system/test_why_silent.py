# SPDX-License-Identifier: Apache-2.0
"""What the node says when no image comes: topic, type, and the one parameter to set; then it is set, and one comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source it, or run make test')

from node_case import Case, street
from ros_probe import RosProbe, ros_probe
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from vision_msgs.msg import Detection2DArray

JPEG = cv2.imencode('.jpg', np.ascontiguousarray(street()[..., ::-1]))[1].tobytes()
RAW, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'


@pytest.fixture
def driver() -> Iterator[RosProbe]:
    """The camera's own participant: one participant has one type on a topic."""
    with ros_probe() as made:
        yield made


def publish(case: Case, driver: RosProbe, message_type: type, topic: str) -> Any:
    camera = driver.node.create_publisher(message_type, f'{case.namespace}/{topic}', 5)

    def send() -> None:
        if message_type is Image:
            camera.publish(case.picture())
        elif message_type is CompressedImage:
            camera.publish(CompressedImage(header=case.header(), format='jpeg', data=JPEG))
        else:
            camera.publish(message_type(header=case.header()))

    return send


@pytest.mark.parametrize(
    ('parameters', 'message_type', 'topic', 'said', 'remedy'),
    [
        (
            {'image_transport': 'raw', 'image_topic': 'cam/image_raw/compressed'},
            CompressedImage,
            'cam/image_raw/compressed',
            f"cam/image_raw/compressed carries {COMPRESSED}: set parameter image_transport to 'compressed'",
            ('image_transport', 'compressed'),
        ),
        (
            {'image_transport': 'raw', 'image_topic': 'cam/image_raw'},
            CompressedImage,
            'cam/image_raw/compressed',
            f"cam/image_raw/compressed carries {COMPRESSED}: set parameter image_transport to 'compressed'",
            ('image_transport', 'compressed'),
        ),
        (
            {'image_transport': 'compressed', 'image_topic': 'cam/image_raw'},
            Image,
            'cam/image_raw',
            f"cam/image_raw carries {RAW}: set parameter image_transport to 'raw'",
            ('image_transport', 'raw'),
        ),
        (
            {'image_transport': 'raw', 'image_topic': 'cam/image_raw/compressed'},
            Image,
            'cam/image_raw',
            f"cam/image_raw carries {RAW}: set parameter image_topic to '",
            None,
        ),
        (
            {'image_transport': 'raw', 'image_topic': 'cam/image_raw'},
            PointCloud2,
            'cam/image_raw',
            f'1 publisher of sensor_msgs/msg/PointCloud2, not of {RAW}: set parameter image_topic to a topic of',
            None,
        ),
    ],
    ids=['name of the other transport', 'other transport', 'raw beside', 'ending without its topic', 'no image at all'],
)
def test_it_names_topic_type_and_the_one_parameter_to_set(
    parameters: dict[str, str],
    message_type: type,
    topic: str,
    said: str,
    remedy: tuple[str, str] | None,
    case: Case,
    driver: RosProbe,
) -> None:
    case.start(stale_after_s=0.3, **parameters)
    case.probe.until_state(case.name, 'active')
    status = case.probe.diagnostics(case.name)
    send = publish(case, driver, message_type, topic)
    case.probe.publish_until(
        send, lambda: status and status[-1]['level'] == 'STALE' and said in status[-1]['message'], said
    )
    if remedy is None:
        return
    inbox = case.listen(Detection2DArray, 'detections')
    for transition in ('deactivate', 'cleanup'):
        assert case.probe.change_state(case.name, transition)
    assert case.probe.set_parameter(case.name, *remedy) == (True, '')
    for transition in ('configure', 'activate'):
        assert case.probe.change_state(case.name, transition)
    case.probe.publish_until(send, lambda: inbox, 'an answer once the parameter is set')


def test_the_whole_name_of_a_compressed_topic_is_understood(case: Case, driver: RosProbe) -> None:
    case.start(image_transport='compressed', image_topic='cam/image_raw/compressed')
    inbox = case.listen(Detection2DArray, 'detections')
    send = publish(case, driver, CompressedImage, 'cam/image_raw/compressed')
    case.probe.publish_until(send, lambda: inbox, 'an answer')
