# SPDX-License-Identifier: Apache-2.0
"""The subscriptions of the perception node, and why nothing may come in through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from cast_ros.nodes.parameters import Settings

COMPRESSED = '/compressed'
TYPES = {'raw': 'sensor_msgs/msg/Image', 'compressed': 'sensor_msgs/msg/CompressedImage'}
_RELIABILITY = {'best_effort': ReliabilityPolicy.BEST_EFFORT, 'reliable': ReliabilityPolicy.RELIABLE}


class Inputs:
    """Subscriptions to pictures and calibration, keep-last 1: the middleware holds the newest message and no more."""

    def __init__(
        self,
        node: Node,
        settings: Settings,
        on_image: Callable[[Image | CompressedImage], None],
        on_camera_info: Callable[[CameraInfo], None],
    ) -> None:
        self._node = node
        self._transport = settings.image_transport
        self._subscriptions: list[Subscription] = []
        asked = node.resolve_topic_name(settings.topics['image'])
        # As image_transport does it: the base name is remapped first, then the transport is appended, unless a person
        # gave the whole name of the compressed topic.
        self._base = asked.removesuffix(COMPRESSED)
        image_topic = asked if self._transport == 'raw' else f'{self._base}{COMPRESSED}'
        camera_info_topic = node.resolve_topic_name(settings.topics['camera_info'])
        image_type = Image if self._transport == 'raw' else CompressedImage
        reliability = _RELIABILITY[settings.input_reliability]
        self._subscribe(image_type, image_topic, on_image, reliability)
        self._subscribe(CameraInfo, camera_info_topic, on_camera_info, reliability)
        self.image_topic: str = self._subscriptions[0].topic_name

    def _subscribe(
        self, message_type: type, topic: str, callback: Callable[..., None], reliability: ReliabilityPolicy
    ) -> None:
        self._subscriptions.append(
            self._node.create_subscription(
                message_type,
                topic,
                callback,
                QoSProfile(depth=1, reliability=reliability),
                event_callbacks=SubscriptionEventCallbacks(
                    incompatible_qos=lambda event: self._explain_incompatible_qos(topic, event)
                ),
                # Reliability is a parameter of its own; an override would freeze the value of the first configure.
                qos_overriding_options=QoSOverridingOptions([QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]),
            )
        )

    def _explain_incompatible_qos(self, topic: str, event: Any) -> None:
        kind = QoSPolicyKind(event.last_policy_kind)
        fix = (
            "set parameter input_reliability to 'best_effort', or make the publisher reliable"
            if kind is QoSPolicyKind.RELIABILITY
            else f'change the {kind.name.lower()} of the publisher'
        )
        self._node.get_logger().warning(
            f'a publisher on {topic} offers an incompatible {kind.name.lower()}: nothing is received from it; {fix}'
        )

    def publisher_count(self) -> int:
        """How many publish pictures on our topic."""
        return int(self._node.count_publishers(self.image_topic))

    def why_silent(self) -> str:
        """One sentence for a person whose pictures do not arrive."""
        publishers = self.publisher_count()
        plural = '' if publishers == 1 else 's'
        sentence = f'waiting for {self.image_topic} ({self._transport}), {publishers} publisher{plural}'
        here, compressed = self._types_on(self.image_topic), f'{self._base}{COMPRESSED}'
        if TYPES[self._transport] in here:
            return f'{sentence}, but no picture comes: is the camera paused, or its quality of service incompatible?'
        other = 'compressed' if self._transport == 'raw' else 'raw'
        found = f'{sentence} of {" and ".join(sorted(here))}' if here else sentence
        if other == 'compressed' and TYPES[other] in self._types_on(compressed):
            return f"{found}; {compressed} carries {TYPES[other]}: set parameter image_transport to 'compressed'"
        if TYPES['raw'] in self._types_on(self._base):
            remedy = "image_transport to 'raw'" if other == 'raw' else f"image_topic to '{self._base}'"
            return f'{found}; {self._base} carries {TYPES["raw"]}: set parameter {remedy}'
        if here:
            return f'{found}, not of {TYPES[self._transport]}: set parameter image_topic to a topic of that type'
        return f'{sentence}: set parameter image_topic, or remap it, to what the camera publishes'

    def _types_on(self, topic: str) -> set[str]:
        """The types that a topic is published with: its name says nothing certain about them."""
        return {one.topic_type for one in self._node.get_publishers_info_by_topic(topic)}

    def destroy(self) -> None:
        """Ends both subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
