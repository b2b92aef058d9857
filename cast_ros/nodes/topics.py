# SPDX-License-Identifier: Apache-2.0
"""The topics of the perception node: one table that parameters, publishers, launch arguments and listeners come from.

It imports neither rclpy nor messages: launch files read it under a Python that may have neither.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_INSTANCES, _SEMANTIC, _DEPTH = frozenset({'instances'}), frozenset({'semantic'}), frozenset({'depth'})


@dataclass(frozen=True)
class Topic:
    """One topic; a student offers it if it has all heads in `needs`, and any of `needs` and `uses`.

    Attributes:
        name: what parameter, launch argument and code call it.
        default: the topic, unless the parameter says another.
        message: the type, such as `sensor_msgs/Image`.
        meaning: what it carries, for people.
        encoding: of an image.
        needs: heads without which there is nothing to say.
        uses: heads that it shows as well where the student has them.
        depth: how many messages the publisher keeps for a slow reader.
        latched: whether late listeners get the last message.
    """

    name: str
    default: str
    message: str
    meaning: str
    encoding: str = ''
    needs: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    depth: int = 5
    latched: bool = False

    @property
    def parameter(self) -> str:
        """The parameter that names it."""
        return f'{self.name}_topic'

    @property
    def description(self) -> str:
        """The meaning with the type, as a sentence."""
        kind = f'{self.message}, {self.encoding}' if self.encoding else self.message
        return f'{self.meaning[0].upper()}{self.meaning[1:]} ({kind}).'

    @property
    def heads(self) -> frozenset[str]:
        """What its messages are made of; empty for what does not follow the pictures."""
        return self.needs | self.uses

    def suits(self, heads: Collection[str]) -> bool:
        """Whether a student with these heads can make it."""
        return self.needs <= set(heads) and not self.heads.isdisjoint(heads)

    def message_class(self) -> Any:
        """The class of its messages; imports their package."""
        package, name = self.message.split('/')
        return getattr(import_module(f'{package}.msg'), name)


INPUTS: tuple[Topic, ...] = (
    Topic('image', 'image', 'sensor_msgs/Image', 'input picture, without the ending /compressed'),
    Topic('camera_info', 'camera_info', 'sensor_msgs/CameraInfo', 'input calibration; cached, never waited for'),
)
LABEL_INFO = Topic(
    'label_info', '~/label_info', 'vision_msgs/LabelInfo', 'names of the class ids', depth=1, latched=True
)
DIAGNOSTICS = Topic(
    'diagnostics', '/diagnostics', 'diagnostic_msgs/DiagnosticArray', 'state, rates and latencies', depth=10
)
OUTPUTS: tuple[Topic, ...] = (
    Topic(
        'detections', '~/detections', 'vision_msgs/Detection2DArray', 'boxes, class names and scores', needs=_INSTANCES
    ),
    Topic('instances', '~/instances', 'sensor_msgs/Image', 'instance ids', '16UC1', _INSTANCES),
    Topic('semantic', '~/semantic', 'sensor_msgs/Image', 'class ids', 'mono8', _SEMANTIC),
    LABEL_INFO,
    Topic('depth', '~/depth/image', 'sensor_msgs/Image', 'depth in metres', '32FC1', _DEPTH),
    Topic('depth_raw', '~/depth/image_raw', 'sensor_msgs/Image', 'depth in millimetres', '16UC1', _DEPTH),
    Topic(
        'depth_camera_info',
        '~/depth/camera_info',
        'sensor_msgs/CameraInfo',
        'calibration of the depth image',
        needs=_DEPTH,
    ),
    Topic(
        'overlay', '~/overlay', 'sensor_msgs/Image', 'picture for people', 'bgr8', uses=_INSTANCES | _SEMANTIC | _DEPTH
    ),
    Topic(
        'detections_3d',
        '~/detections_3d',
        'vision_msgs/Detection3DArray',
        'place and extent of every instance in metres',
        needs=_INSTANCES | _DEPTH,
    ),
    Topic(
        'nearest',
        '~/nearest',
        'vision_msgs/Detection3DArray',
        'the nearest instance of each class',
        needs=_INSTANCES | _DEPTH,
    ),
    Topic(
        'points',
        '~/points',
        'sensor_msgs/PointCloud2',
        'depth as points x y z rgb label instance',
        needs=_DEPTH,
        uses=_INSTANCES | _SEMANTIC,
    ),
    Topic(
        'points_clearing',
        '~/points_clearing',
        'sensor_msgs/PointCloud2',
        'the ends of free rays: points of every class, and what is beyond range at the end of it',
        needs=_DEPTH,
        uses=_INSTANCES | _SEMANTIC,
    ),
    Topic(
        'semantic_color',
        '~/semantic_color',
        'sensor_msgs/Image',
        'the semantic map in the colours of its classes',
        'bgr8',
        _SEMANTIC,
    ),
    Topic(
        'overlay_compressed',
        '~/overlay/compressed',
        'sensor_msgs/CompressedImage',
        'the same picture for people as a JPEG',
        uses=_INSTANCES | _SEMANTIC | _DEPTH,
    ),
    Topic(
        'markers',
        '~/markers',
        'visualization_msgs/MarkerArray',
        'boxes in metres with their names, for RViz',
        needs=_INSTANCES | _DEPTH,
    ),
    DIAGNOSTICS,
)
TOPICS = (*INPUTS, *OUTPUTS)
ANSWERS = tuple(topic for topic in OUTPUTS if topic.heads)
"""The outputs that follow the pictures."""
