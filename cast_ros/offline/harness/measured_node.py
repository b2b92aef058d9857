# SPDX-License-Identifier: Apache-2.0
"""The perception node as a process of its own, with a camera and a listener beside it; for `cast bench`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from cast_ros.errors import HarnessError
from cast_ros.nodes.messages import image_message_to_publish
from cast_ros.offline.harness.recorder import ALL_BUT_OVERLAY, Recorder
from cast_ros.offline.harness.stand import Stand, stand
from cast_ros.student import LoadOptions, Student

IMAGE_TOPIC, CAMERA_INFO_TOPIC = '/bench/image', '/bench/camera_info'
CALIBRATED_AFTER, CALIBRATED_WITHIN_S = 10, 2.0
NANOSECONDS = 1_000_000_000


class MeasuredNode:
    """Everything in one thread: callbacks run in `until` alone.

    Attributes:
        child: the process.
        recorder: what it answered, by stamp.
        values: of its last status in /diagnostics, by key.
        sent: number of pictures.
    """

    def __init__(self, beside: Stand, recorder: Recorder) -> None:
        node, self.child, self.recorder = beside.node, beside.child, recorder
        self.values: dict[str, str] = {}
        self.sent = 0
        self._beside = beside
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._camera = node.create_publisher(Image, IMAGE_TOPIC, reliable)
        self._calibration = node.create_publisher(CameraInfo, CAMERA_INFO_TOPIC, reliable)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def send(self, bgr: NDArray[np.uint8]) -> int:
        """Publish a picture and its calibration, and return their stamp in nanoseconds; every picture has another."""
        self.sent += 1
        header = Header(frame_id='bench')
        header.stamp.sec = self.sent
        self._calibration.publish(_camera_info(header, bgr.shape[1], bgr.shape[0]))
        self._camera.publish(image_message_to_publish(bgr, 'bgr8', header))
        return self.sent * NANOSECONDS

    def waits_for(self) -> list[str]:
        """What of the camera nobody sees yet."""
        return [] if self._calibration.get_subscription_count() else [CAMERA_INFO_TOPIC]

    def calibrate(self, bgr: NDArray[np.uint8]) -> None:
        """Send pictures until one has every answer: the first may come before its calibration.

        Raises:
            HarnessError: none has.
        """
        for _ in range(CALIBRATED_AFTER):
            stamp = self.send(bgr)
            if self.until(partial(self.is_answered, stamp), CALIBRATED_WITHIN_S):
                self.recorder.answers.clear()
                return
        missing = ', '.join(self.recorder.missing(stamp))
        raise HarnessError(f'{CALIBRATED_AFTER} pictures came without {missing}; {self.child.last_words()}')

    def is_answered(self, stamp: int) -> bool:
        """Whether every output has come for this picture."""
        return not self.recorder.missing(stamp)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let callbacks run until it holds; False if it never did.

        Raises:
            HarnessError: the node is gone.
        """
        deadline_s = time.monotonic() + seconds
        while not condition():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self._beside.spin(min(left_s, 0.05))
        return True

    def require(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """As `until`, but HarnessError if it never held."""
        if not self.until(condition, seconds):
            raise HarnessError(f'waited {seconds:.0f} s for {what}; {self.child.last_words()}')

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith('perception'):
                self.values = {entry.key: entry.value for entry in status.values}


@contextmanager
def measured_node(
    model: Path, picture: NDArray[np.uint8], threads: int, log_path: Path, more: Mapping[str, str]
) -> Iterator[MeasuredNode]:
    """A node that is active, sees the camera, and answers with every output but the overlay.

    Args:
        model: a student.
        picture: BGR, as those to come.
        threads: of the inference.
        log_path: what the node prints.
        more: parameters of the node.

    Raises:
        HarnessError: it does not start.
        StudentError: the model cannot be used.
    """
    with Student.load(model, LoadOptions(threads=1)) as student:
        heads = student.contract.heads
    parameters = {
        'model': str(model),
        'threads': str(threads),
        'image_topic': IMAGE_TOPIC,
        'camera_info_topic': CAMERA_INFO_TOPIC,
        **more,
    }
    with stand('cast_bench', parameters, log_path) as beside:
        measured = MeasuredNode(beside, Recorder(beside.node, heads, ALL_BUT_OVERLAY))
        beside.wait_until_ready(measured.recorder, measured.waits_for)
        measured.calibrate(picture)
        yield measured


def _camera_info(header: Header, width: int, height: int) -> CameraInfo:
    """Of a camera without distortion that sees 90° across."""
    focal_px, cx_px, cy_px = width / 2, width / 2, height / 2
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        k=[focal_px, 0.0, cx_px, 0.0, focal_px, cy_px, 0.0, 0.0, 1.0],
        p=[focal_px, 0.0, cx_px, 0.0, 0.0, focal_px, cy_px, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def street_like(width: int, height: int) -> NDArray[np.uint8]:
    """H×W×3: something with sky, road and boxes, so that instances are found and painted."""
    rng = np.random.default_rng(0)
    picture = np.full((height, width, 3), (120, 120, 120), np.uint8)
    picture[: height // 2] = (235, 206, 170)
    for _ in range(12):
        side = int(rng.integers(height // 12, height // 4))
        left, top = int(rng.integers(0, width - side)), int(rng.integers(height // 3, height - side))
        cv2.rectangle(picture, (left, top), (left + side, top + side // 2), rng.integers(0, 255, 3).tolist(), -1)
    return picture
