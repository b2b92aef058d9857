# SPDX-License-Identifier: Apache-2.0
"""What lies in space, in a frame of the robot: tf2 says where the camera was when its image was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from cast_ros.errors import ParameterError
from cast_ros.nodes.parameters import Settings
from cast_ros.scene import rotation_of


@dataclass(frozen=True, eq=False)
class Placement:
    """Where one image's optical frame lies in another frame.

    Attributes:
        header: stamp of the image, and the other frame.
        rotation: 3×3, from the optical frame to the other.
        translation_m: of the optical frame's origin.
        orientation: the same rotation.
    """

    header: Header
    rotation: NDArray[np.float64]
    translation_m: NDArray[np.float64]
    orientation: Quaternion

    @classmethod
    def of(cls, header: Header, transform: Any) -> Placement:
        """From a geometry_msgs/TransformStamped whose child is the frame of this header."""
        q, t = transform.transform.rotation, transform.transform.translation
        placed = Header(stamp=header.stamp, frame_id=transform.header.frame_id)
        return cls(placed, rotation_of(q), np.array([t.x, t.y, t.z]), q)

    def points(self, points_m: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """N×3 metres, or three, in the other frame."""
        return np.asarray(points_m @ self.rotation.T + self.translation_m, np.float32)


class TargetFrame:
    """Looks transforms up for the images of one configured node.

    Attributes:
        problem: why the last one was not found; '' if it was.
        misses: images without a transform so far.
    """

    def __init__(self, node: Node, frame_id: str) -> None:
        """Raises ParameterError where tf2_ros is not installed."""
        try:
            from tf2_ros import Buffer, TransformListener
        except ImportError as error:
            raise ParameterError(
                f"parameter 'target_frame' is '{frame_id}' and needs tf2_ros ({error}): install "
                'ros-$ROS_DISTRO-tf2-ros-py, or leave it empty'
            ) from error
        self.problem, self.misses = '', 0
        self._frame_id = frame_id
        self._buffer = Buffer(node=node)
        self._listener = TransformListener(self._buffer, node)

    def placement(self, header: Header, settings: Settings) -> Placement | None:
        """Where the frame of this header was at its stamp; waits for it no longer than the parameter says."""
        from tf2_ros import TransformException

        wait = Duration(seconds=settings.target_frame_timeout_s)
        try:
            found = self._buffer.lookup_transform(self._frame_id, header.frame_id, Time.from_msg(header.stamp), wait)
        except TransformException as error:
            self.misses += 1
            self.problem = f"no transform from '{header.frame_id}' to '{self._frame_id}': {error}"
            return None
        self.problem = ''
        return Placement.of(header, found)

    def close(self) -> None:
        """End listening."""
        self._listener.unregister()
