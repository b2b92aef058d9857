# SPDX-License-Identifier: Apache-2.0
"""Puts a node's messages of one stamp together again to the Prediction that they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import ImageError
from cast_ros.images import decode_image
from cast_ros.student.contract import StudentContract
from cast_ros.student.prediction import Prediction


def prediction_from_messages(
    messages: Mapping[str, Any], image_size: tuple[int, int], contract: StudentContract
) -> Prediction:
    """One Prediction from the messages of one frame, of rclpy or of a bag.

    Args:
        messages: by name of the output: `detections` (Detection2DArray, boxes in pixels of the picture), and
            the sensor_msgs/Image maps `instances` (16UC1), `semantic` (mono8), `depth` (32FC1). Any may be absent.
        image_size: width and height of the picture that was sent.
        contract: translates class names to ids.

    Raises:
        ImageError: a map cannot be decoded, or the maps differ in size.
        StudentError: a detection has a class that the contract lacks.
    """
    maps = {name: decode_image(messages[name]) for name in ('instances', 'semantic', 'depth') if name in messages}
    shapes = {one.shape for one in maps.values()}
    if len(shapes) != 1:
        raise ImageError(f'the maps of one frame must have one size, they have: {sorted(shapes) or "none came"}')
    height, width = shapes.pop()
    detections = messages.get('detections')
    boxes, labels, scores = (None, None, None) if detections is None else _rows(detections, contract)
    if boxes is not None:
        boxes = boxes * np.array([width / image_size[0], height / image_size[1]] * 2, dtype=np.float32)
    return Prediction(
        height=height,
        width=width,
        image_height=image_size[1],
        image_width=image_size[0],
        boxes=boxes,
        labels=labels,
        scores=scores,
        instance_ids=_rows_of_pixels(maps.get('instances'), detections),
        semantic=maps.get('semantic'),
        depth=maps.get('depth'),
    )


def _rows_of_pixels(instances: NDArray[np.uint16] | None, detections: Any | None) -> NDArray[np.uint16] | None:
    """Ids, which may be the numbers of tracks, to rows; an id without a detection is none."""
    if instances is None or detections is None:
        return instances
    rows = np.zeros(1 + np.iinfo(np.uint16).max, np.uint16)
    for row, detection in enumerate(detections.detections):
        if detection.id.isdecimal() and int(detection.id) < len(rows):
            rows[int(detection.id)] = row + 1
    return rows[instances]


def _rows(
    detections: Any, contract: StudentContract
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    boxes, labels, scores = [], [], []
    for detection in detections.detections:
        centre, box = detection.bbox.center.position, detection.bbox
        half = (box.size_x / 2, box.size_y / 2)
        boxes.append((centre.x - half[0], centre.y - half[1], centre.x + half[0], centre.y + half[1]))
        hypothesis = detection.results[0].hypothesis
        labels.append(contract.class_named(hypothesis.class_id).id)
        scores.append(hypothesis.score)
    return (
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(labels, dtype=np.int64),
        np.array(scores, dtype=np.float32),
    )
