# SPDX-License-Identifier: Apache-2.0
"""The answers as a bag beside their pictures, for RViz and Foxglove."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from cast_ros.bags import BagWriter
from cast_ros.bags.message_types import typestore
from cast_ros.bags.messages import compressed_image, header, image, label_info
from cast_ros.images import encode_jpeg
from cast_ros.overlay import draw_overlay
from cast_ros.replay.frames import Frame
from cast_ros.scene.depth_units import depth_to_millimetres
from cast_ros.student import Prediction, StudentContract

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

JPEG_QUALITY = 85
JPEG_FORMAT = 'bgr8; jpeg compressed bgr8'


class ResultsBag:
    """A new MCAP file: the pictures as they were, and below /NAME what each student says; use it in a `with` statement.

    Raises:
        BagError: it exists already, or the disk refuses.
    """

    def __init__(self, path: Path, topic: str) -> None:
        self._writer = BagWriter(path)
        self._topic = topic

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def write_classes(self, name: str, contract: StudentContract, at_ns: int) -> None:
        """The names of a student's class ids, latched; once, before its answers."""
        topic = f'/{name}/label_info'
        message = label_info(at_ns, '', {entry.id: entry.name for entry in contract.classes})
        self._writer.add_topic(topic, message.__msgtype__, latched=True)
        self._writer.write(topic, at_ns, message)

    def write_picture(self, frame: Frame) -> None:
        """As it was recorded."""
        self._writer.write_raw(self._topic, frame.raw.msgtype, frame.recorded_ns, frame.raw.data)

    def write_answer(self, name: str, frame: Frame, shown: Prediction, contract: StudentContract) -> None:
        """Overlay, detections, and depth in millimetres."""
        assert frame.rgb is not None
        overlay = draw_overlay(frame.rgb, shown, contract)
        payload = encode_jpeg(np.ascontiguousarray(overlay[..., ::-1]), JPEG_QUALITY)
        messages = {
            'overlay/compressed': compressed_image(frame.stamp_ns, frame.frame_id, payload, JPEG_FORMAT),
            'detections': _detections(frame, shown, contract),
        }
        if shown.depth is not None:
            millimetres = depth_to_millimetres(shown.depth)
            messages['depth/image_raw'] = image(frame.stamp_ns, frame.frame_id, millimetres, '16UC1')
        for topic, message in messages.items():
            self._writer.write(f'/{name}/{topic}', frame.recorded_ns, message)


def _detections(frame: Frame, shown: Prediction, contract: StudentContract) -> Any:
    types = typestore().types
    head = header(frame.stamp_ns, frame.frame_id)
    boxes, labels, scores = shown.image_boxes(), shown.labels, shown.scores
    rows = []
    if boxes is not None and labels is not None and scores is not None:
        for row, (box, label, score) in enumerate(zip(boxes.tolist(), labels.tolist(), scores.tolist(), strict=True)):
            rows.append(_detection(types, head, row + 1, box, contract.class_names[label], score))
    return types['vision_msgs/msg/Detection2DArray'](head, rows)


def _detection(types: Any, head: Any, number: int, box: list[float], class_name: str, score: float) -> Any:
    x0, y0, x1, y1 = box
    pose = types['geometry_msgs/msg/PoseWithCovariance'](
        types['geometry_msgs/msg/Pose'](
            types['geometry_msgs/msg/Point'](0.0, 0.0, 0.0), types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0)
        ),
        np.zeros(36),
    )
    hypothesis = types['vision_msgs/msg/ObjectHypothesis'](class_name, score)
    centre = types['vision_msgs/msg/Pose2D'](types['vision_msgs/msg/Point2D']((x0 + x1) / 2, (y0 + y1) / 2), 0.0)
    return types['vision_msgs/msg/Detection2D'](
        head,
        [types['vision_msgs/msg/ObjectHypothesisWithPose'](hypothesis, pose)],
        types['vision_msgs/msg/BoundingBox2D'](centre, x1 - x0, y1 - y0),
        str(number),
    )
