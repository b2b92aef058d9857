# SPDX-License-Identifier: Apache-2.0
"""What the perception node publishes: how an answer becomes the message of each topic, and the publishers.

An output is made only if somebody subscribes to it, and the student computes only the heads that those outputs need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    Detection2D,
    Detection2DArray,
    Detection3DArray,
    LabelInfo,
    ObjectHypothesisWithPose,
    VisionClass,
)
from visualization_msgs.msg import MarkerArray

from cast_ros.errors import ParameterError
from cast_ros.images import encode_jpeg
from cast_ros.images.camera_info import CameraModel
from cast_ros.nodes import messages
from cast_ros.nodes.messages import image_message_to_publish
from cast_ros.nodes.parameters import Settings
from cast_ros.nodes.target_frame import Placement
from cast_ros.nodes.topics import ANSWERS, LABEL_INFO, Topic
from cast_ros.overlay import draw_overlay
from cast_ros.scene import (
    LocatedObject,
    Pinhole,
    depth_to_millimetres,
    locate_instances,
    nearest_of_each_class,
    point_cloud,
)
from cast_ros.student import Prediction, StudentContract


@dataclass(frozen=True, eq=False)
class Answer:
    """One picture and everything that is known about it; `track_numbers` is (K,), None without tracking.

    `placement` is where the camera was in the target frame; None without one, or if nobody knows.
    """

    header: Header
    rgb: NDArray[np.uint8]
    prediction: Prediction
    contract: StudentContract
    camera_model: CameraModel | None
    settings: Settings
    track_numbers: NDArray[np.uint16] | None = None
    placement: Placement | None = None

    @cached_property
    def numbers(self) -> NDArray[np.uint16]:
        """(K + 1,) what the pixels of each row carry in the published maps; 0 for none comes first."""
        if self.track_numbers is not None:
            return np.concatenate([np.zeros(1, np.uint16), self.track_numbers])
        return np.arange(1 + (0 if self.prediction.scores is None else len(self.prediction.scores)), dtype=np.uint16)

    @cached_property
    def camera(self) -> Pinhole | None:
        """Of the prediction's maps; None for an unknown camera, or one whose focal length is."""
        if self.camera_model is None or self.camera_model.problem:
            return None
        return Pinhole.of_k(self.camera_model.scaled(self.prediction.width, self.prediction.height).k)

    @cached_property
    def objects(self) -> list[LocatedObject] | None:
        """Every instance in space, found once for all outputs that tell of them; None without a camera or its place."""
        return None if self.camera is None or self.is_lost else locate_instances(self.prediction, self.camera)

    @property
    def is_lost(self) -> bool:
        """Whether nobody knows where the camera was in the frame that was asked for."""
        return bool(self.settings.target_frame) and self.placement is None

    @cached_property
    def drawing(self) -> NDArray[np.uint8]:
        """The overlay, H×W×3 RGB, drawn once for all who want it."""
        return draw_overlay(self.rgb, self.prediction, self.contract, self.settings.overlay_alpha)

    def numbered(self, ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Rows to numbers, pixel by pixel."""
        return ids if self.track_numbers is None else np.take(self.numbers, ids)


def detections_message(answer: Answer) -> Detection2DArray:
    """Boxes in pixels of the picture; the id of a row is the value of its pixels in the instance image."""
    prediction = answer.prediction
    boxes, labels, scores = prediction.image_boxes(), prediction.labels, prediction.scores
    message = Detection2DArray(header=answer.header)
    if boxes is None or labels is None or scores is None:
        return message
    names = answer.contract.class_names
    for row, (box, label, score) in enumerate(zip(boxes.tolist(), labels.tolist(), scores.tolist(), strict=True)):
        message.detections.append(_detection(answer.header, int(answer.numbers[row + 1]), box, names[label], score))
    return message


def _detection(header: Header, instance_id: int, box: list[float], class_name: str, score: float) -> Detection2D:
    x0, y0, x1, y1 = box
    bounds = BoundingBox2D(size_x=x1 - x0, size_y=y1 - y0)
    bounds.center.position.x, bounds.center.position.y = (x0 + x1) / 2, (y0 + y1) / 2
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id = class_name
    result.hypothesis.score = score
    return Detection2D(header=header, results=[result], bbox=bounds, id=str(instance_id))


def instances_message(answer: Answer) -> Image:
    """16UC1: 0 background, otherwise the id of a detection."""
    ids = answer.numbered(_present(answer.prediction.instance_ids))
    return image_message_to_publish(ids, '16UC1', answer.header)


def semantic_message(answer: Answer) -> Image:
    """mono8: class ids, 255 unlabelled."""
    return image_message_to_publish(_present(answer.prediction.semantic), 'mono8', answer.header)


def depth_message(answer: Answer) -> Image:
    """32FC1 metres along Z (REP 118); NaN invalid, +Inf nothing in range (REP 117)."""
    return image_message_to_publish(_present(answer.prediction.depth), '32FC1', answer.header)


def depth_raw_message(answer: Answer) -> Image:
    """16UC1 millimetres, 0 invalid (REP 118)."""
    return image_message_to_publish(depth_to_millimetres(_present(answer.prediction.depth)), '16UC1', answer.header)


def depth_camera_info_message(answer: Answer) -> CameraInfo | None:
    """The picture's calibration at the size of the depth image; None without one that can be used."""
    if answer.camera_model is None or answer.camera_model.problem:
        return None
    prediction = answer.prediction
    return messages.scaled_camera_info(answer.camera_model, answer.header, prediction.width, prediction.height)


def overlay_message(answer: Answer) -> Image:
    """bgr8 at the size of the picture."""
    return image_message_to_publish(answer.drawing, 'bgr8', answer.header)


def overlay_compressed_message(answer: Answer) -> CompressedImage:
    """The same as a JPEG, where image_transport looks for it."""
    message = CompressedImage(header=answer.header, format='bgr8; jpeg compressed bgr8')
    payload = encode_jpeg(np.ascontiguousarray(answer.drawing[..., ::-1]))
    messages.fill_data(message, np.frombuffer(payload, np.uint8))
    return message


def semantic_color_message(answer: Answer) -> Image:
    """bgr8: the colour of each pixel's class, black where it has none."""
    table = np.zeros((256, 3), np.uint8)
    for entry in answer.contract.classes:
        table[entry.id] = entry.color[::-1]
    return image_message_to_publish(table[_present(answer.prediction.semantic)], 'bgr8', answer.header)


def markers_message(answer: Answer) -> MarkerArray | None:
    """A box and a name for every instance in space; None without a calibration."""
    if answer.objects is None:
        return None
    return messages.markers_message(answer.header, answer.objects, answer.contract, answer.numbers, answer.placement)


def instances_3d_message(answer: Answer) -> Detection3DArray | None:
    """Every instance with its place and extent; None without a calibration."""
    return _located(answer, lambda objects: objects)


def nearest_message(answer: Answer) -> Detection3DArray | None:
    """The nearest instance of each class; None without a calibration."""
    return _located(answer, nearest_of_each_class)


def points_message(answer: Answer) -> PointCloud2 | None:
    """The depth image as points, without the classes that a parameter leaves out; None without a calibration."""
    classes, names = answer.contract.classes, answer.settings.points_left_out
    return _points(answer, left_out={entry.id for entry in classes if entry.name in names})


def points_clearing_message(answer: Answer) -> PointCloud2 | None:
    """The end of every ray that was free: a costmap clears along rays to points, and never where there are none."""
    depth = answer.contract.depth
    return _points(answer, beyond_m=None if depth is None else depth.cap_m)


def _points(
    answer: Answer, left_out: AbstractSet[int] = frozenset(), beyond_m: float | None = None
) -> PointCloud2 | None:
    camera, placement = answer.camera, answer.placement
    if camera is None or answer.is_lost:
        return None
    stride = answer.settings.points_stride
    cloud = point_cloud(answer.prediction, answer.rgb, camera, stride, left_out, beyond_m)
    cloud['instance'] = answer.numbered(cloud['instance'])
    if placement is None:
        return messages.points_message(answer.header, cloud)
    places = placement.points(np.stack([cloud['x'], cloud['y'], cloud['z']], 1))
    cloud['x'], cloud['y'], cloud['z'] = places.T
    return messages.points_message(placement.header, cloud)


def _located(answer: Answer, choose: Callable[[list[LocatedObject]], list[LocatedObject]]) -> Detection3DArray | None:
    objects, scores = answer.objects, answer.prediction.scores
    if objects is None or scores is None:
        return None
    return messages.detections_3d_message(
        answer.header, choose(objects), answer.contract.class_names, scores, answer.numbers, answer.placement
    )


def label_info_message(contract: StudentContract, stamp: Any, score_threshold: float) -> LabelInfo:
    """Names of the ids in the semantic image and of the class ids in general."""
    message = LabelInfo(
        class_map=[VisionClass(class_id=entry.id, class_name=entry.name) for entry in contract.classes],
        threshold=score_threshold,
    )
    message.header.stamp = stamp
    return message


def _present(array: NDArray[Any] | None) -> NDArray[Any]:
    if array is None:
        raise ValueError('an output was made without asking the student for its head')
    return array


MAKERS: Mapping[str, Callable[[Answer], Any]] = {
    'detections': detections_message,
    'instances': instances_message,
    'semantic': semantic_message,
    'depth': depth_message,
    'depth_raw': depth_raw_message,
    'depth_camera_info': depth_camera_info_message,
    'overlay': overlay_message,
    'detections_3d': instances_3d_message,
    'nearest': nearest_message,
    'points': points_message,
    'points_clearing': points_clearing_message,
    'semantic_color': semantic_color_message,
    'overlay_compressed': overlay_compressed_message,
    'markers': markers_message,
}
"""The message of each topic in ANSWERS; None says nothing this time."""


def quality_of(topic: Topic) -> QoSProfile:
    """The quality of service that a topic is published with."""
    durability = DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=topic.depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


class Outputs:
    """The publishers of one configured node."""

    def __init__(self, node: LifecycleNode, settings: Settings, contract: StudentContract) -> None:
        """Offers the outputs that the student can make.

        Raises:
            ParameterError: a class that is to be shown, or left out of the points, does not exist.
        """
        self._node = node
        self._contract = contract
        things = [entry.name for entry in contract.classes if entry.is_thing]
        for parameter, names, known in (
            ('points_left_out', settings.points_left_out, contract.class_names),
            ('classes', settings.classes, things),
        ):
            unknown = sorted(set(names) - {'', *known})
            if unknown:
                raise ParameterError(
                    f"parameter '{parameter}' names {unknown[0]!r}, which is no class of the student's "
                    f'{"instances" if parameter == "classes" else "maps"}; these are {", ".join(known)}'
                )
        self._offered = tuple(topic for topic in ANSWERS if topic.suits(contract.heads))
        self._publishers = {
            topic.name: node.create_lifecycle_publisher(
                topic.message_class(),
                settings.topics[topic.name],
                quality_of(topic),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic in (*self._offered, LABEL_INFO)
        }

    def wanted(self) -> tuple[Topic, ...]:
        """The outputs that somebody listens to right now."""
        return tuple(topic for topic in self._offered if self._publishers[topic.name].get_subscription_count() > 0)

    def publish(self, wanted: tuple[Topic, ...], answer: Answer) -> None:
        """Makes and sends these outputs."""
        for topic in wanted:
            message = MAKERS[topic.name](answer)
            if message is not None:
                self._publishers[topic.name].publish(message)

    def publish_label_info(self, score_threshold: float) -> None:
        """Kept by the middleware for whoever comes later."""
        stamp = self._node.get_clock().now().to_msg()
        self._publishers[LABEL_INFO.name].publish(label_info_message(self._contract, stamp, score_threshold))

    def destroy(self) -> None:
        """Takes every topic back."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()


def needed_heads(wanted: tuple[Topic, ...]) -> frozenset[str]:
    """The heads that these outputs are made of."""
    return frozenset().union(*(topic.heads for topic in wanted))
