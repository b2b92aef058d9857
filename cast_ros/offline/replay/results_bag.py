# SPDX-License-Identifier: Apache-2.0
"""The answers as a bag beside their pictures, for RViz and Foxglove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cast_ros.images import encode_jpeg
from cast_ros.offline.bags import BagWriter
from cast_ros.offline.bags.message_types import typestore
from cast_ros.offline.bags.messages import compressed_image, header, image, label_info
from cast_ros.offline.replay.frames import RecordedFrame
from cast_ros.overlay import draw_overlay
from cast_ros.scene import depth_to_millimetres
from cast_ros.student import Prediction, StudentContract

if TYPE_CHECKING:
    from pathlib import Path

    from cast_ros.offline.replay.judge import Contestant

JPEG_QUALITY = 85
JPEG_FORMAT = 'bgr8; jpeg compressed bgr8'


class ResultsBag:
    """Writes the pictures as they were, and below /NAME what each student says."""

    def __init__(self, writer: BagWriter, topic: str, contestants: Sequence[Contestant]) -> None:
        self._writer, self._topic = writer, topic
        self._unannounced = list(contestants)

    def write_picture(self, frame: RecordedFrame) -> None:
        """As it was recorded; before the first one, latched, the names of every student's class ids."""
        while self._unannounced:
            one = self._unannounced.pop(0)
            names = {entry.id: entry.name for entry in one.contract.classes}
            message = label_info(frame.stamp_ns, frame.frame_id, names)
            self._writer.add_topic(f'/{one.topic}/label_info', message.__msgtype__, latched=True)
            self._writer.write(f'/{one.topic}/label_info', frame.recorded_ns, message)
        self._writer.write_raw(self._topic, frame.raw.msgtype, frame.recorded_ns, frame.raw.data)

    def write_answer(self, one: Contestant, frame: RecordedFrame, shown: Prediction) -> None:
        """Overlay, detections, ids, classes, and depth in millimetres, as far as the student has them."""
        assert frame.rgb is not None
        contract = one.contract
        overlay = draw_overlay(frame.rgb, shown, contract)
        payload = encode_jpeg(np.ascontiguousarray(overlay[..., ::-1]), JPEG_QUALITY)
        messages = {
            'overlay/compressed': compressed_image(frame.stamp_ns, frame.frame_id, payload, JPEG_FORMAT),
            'detections': _detections(frame, shown, contract),
        }
        if shown.depth is not None:
            millimetres = depth_to_millimetres(shown.depth)
            messages['depth/image_raw'] = image(frame.stamp_ns, frame.frame_id, millimetres, '16UC1')
        if shown.instance_ids is not None:
            messages['instances'] = image(frame.stamp_ns, frame.frame_id, shown.instance_ids, '16UC1')
        if shown.semantic is not None:
            messages['semantic'] = image(frame.stamp_ns, frame.frame_id, shown.semantic, 'mono8')
        for topic, message in messages.items():
            self._writer.write(f'/{one.topic}/{topic}', frame.recorded_ns, message)


@contextmanager
def results_bag(path: Path | None, topic: str, contestants: Sequence[Contestant]) -> Iterator[ResultsBag | None]:
    """A bag that takes the place of the one at `path` once the block has ended well; nothing for no path.

    Raises:
        BagError: the disk refuses.
    """
    if path is None:
        yield None
        return
    partial = path.with_name(f'{path.stem}.partial{path.suffix}')
    partial.unlink(missing_ok=True)
    with BagWriter(partial) as writer:
        yield ResultsBag(writer, topic, contestants)
    partial.replace(path)


def _detections(frame: RecordedFrame, shown: Prediction, contract: StudentContract) -> Any:
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
