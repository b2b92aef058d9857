# SPDX-License-Identifier: Apache-2.0
"""Pictures of a bag, each with the calibration that the node would take and with what its depth is compared with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import CalibrationError, ImageError
from cast_ros.images import decode_image
from cast_ros.images.camera_info import CameraModel, Rectified, frame_of, picture_size
from cast_ros.images.camera_infos import CameraInfoCache
from cast_ros.images.compressed_depth import decode_compressed_depth, is_compressed_depth
from cast_ros.offline.bags import BagReader, Damage, TopicSummary
from cast_ros.offline.bags.message_types import (
    CAMERA_INFO_TYPE,
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    PICTURE_TYPES,
    camera_info_beside,
)
from cast_ros.offline.bags.messages import stamp_ns
from cast_ros.offline.bags.pictures import DECODERS
from cast_ros.scene import rotation_of

Matrix = NDArray[np.float64]

TF_STATIC = '/tf_static'
# Of picture and reference; sensors that nobody triggers together are rarely closer.
LARGEST_GAP_NS = 50_000_000
_REMEMBERED = 50
METRES_PER_VALUE = {'32FC1': 1.0, '16UC1': 0.001, 'mono16': 0.001}
_CLOUD_TYPE, _TF_TYPE = 'sensor_msgs/msg/PointCloud2', 'tf2_msgs/msg/TFMessage'


class StaticTransforms:
    """The frames of a robot and what connects them, as its bag has it on /tf_static."""

    def __init__(self) -> None:
        self._edges: dict[str, dict[str, Matrix]] = {}

    def add(self, transforms: Iterable[Any]) -> None:
        """Take in geometry_msgs/TransformStamped messages."""
        for entry in transforms:
            matrix = _matrix(entry.transform)
            parent, child = frame_of(entry.header), entry.child_frame_id.lstrip('/')
            # Points of the child, in the parent.
            self._edges.setdefault(child, {})[parent] = matrix
            self._edges.setdefault(parent, {})[child] = np.asarray(np.linalg.inv(matrix), np.float64)

    def between(self, source: str, target: str) -> Matrix | None:
        """4×4 matrix that brings points of one frame into another; None if nothing connects them."""
        start, goal = source.lstrip('/'), target.lstrip('/')
        found: dict[str, Matrix] = {start: np.eye(4)}
        waiting = deque([start])
        while waiting and goal not in found:
            frame = waiting.popleft()
            for neighbour, matrix in self._edges.get(frame, {}).items():
                if neighbour not in found:
                    found[neighbour] = matrix @ found[frame]
                    waiting.append(neighbour)
        return found.get(goal)


def moved(points_m: NDArray[np.floating], matrix: Matrix) -> NDArray[np.float64]:
    """N×3 points after a 4×4 transform."""
    return np.asarray(np.asarray(points_m, np.float64) @ matrix[:3, :3].T + matrix[:3, 3])


def _matrix(transform: Any) -> Matrix:
    matrix, t = np.eye(4), transform.translation
    matrix[:3, :3] = rotation_of(transform.rotation)
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix


@dataclass(frozen=True)
class Reference:
    """What is known beside the picture; exactly one.

    Attributes:
        camera_height_m: of the camera over flat ground.
        ground: names of the classes that are ground.
        depth_topic: sensor_msgs/Image, 32FC1 metres or 16UC1 millimetres, or compressedDepth; of the camera's own
            frame, or of another one with a camera_info beside it and /tf_static.
        points_topic: sensor_msgs/PointCloud2; /tf_static connects its frame with the camera's.
    """

    camera_height_m: float | None = None
    ground: tuple[str, ...] = ('road', 'sidewalk')
    depth_topic: str | None = None
    points_topic: str | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.camera_height_m, self.depth_topic, self.points_topic)) != 1:
            raise CalibrationError('name one reference: the height of the camera, a depth topic, or a point cloud')


@dataclass(frozen=True, eq=False)
class MeasuredDepth:
    """A depth image.

    Attributes:
        frame_id: of its header, without a leading slash.
        metres: H×W float32, NaN unknown.
        camera: from the camera_info beside it; None without one that fits.
    """

    frame_id: str
    metres: NDArray[np.float32]
    camera: CameraModel | None


@dataclass(frozen=True, eq=False)
class MeasuredFrame:
    """One picture.

    Attributes:
        header: of the picture.
        rgb: H×W×3.
        camera: None without a calibrated one of this frame and size, which the node would not take either.
        depth: the depth image that is nearest in time; None for other references.
        points: the point cloud that is nearest in time; None for other references.
    """

    header: Any
    rgb: NDArray[np.uint8]
    camera: CameraModel | None
    depth: MeasuredDepth | None = None
    points: Any | None = None


class CalibrationFrames:
    """Goes through a bag once.

    Args:
        bag: MCAP or sqlite3.
        image_topic: sensor_msgs/Image or CompressedImage.
        camera_info_topic: of the same camera.
        reference: what is known.
        count: about so many pictures, spread over the bag.
        rectified: as the node's parameter.

    Attributes:
        infos: the newest of each camera, as the node keeps them.
        transforms: of /tf_static, of the whole bag.
        doubt: what a person should settle about the pictures' matrix; '' if nothing.
        unreadable: for each picture that does not decode, or whose depth image does not, why; they are left out.
        damages: of the bag, once it is read.
    """

    def __init__(
        self,
        bag: Path,
        image_topic: str,
        camera_info_topic: str,
        reference: Reference,
        count: int,
        rectified: Rectified = 'auto',
    ) -> None:
        self.infos = CameraInfoCache()
        self.transforms = StaticTransforms()
        self.doubt = ''
        self.unreadable: list[str] = []
        self.damages: tuple[Damage, ...] = ()
        self._bag, self._count = bag, count
        self._image_topic, self._camera_info_topic = image_topic, camera_info_topic
        self._reference = reference
        self._other = reference.depth_topic or reference.points_topic
        self._rectified = rectified
        self._waiting: list[tuple[Any, CameraInfoCache]] = []
        self._depth_infos = CameraInfoCache()
        self._depth_info_topic = camera_info_beside(reference.depth_topic) if reference.depth_topic else ''
        self._references: list[Any] = []

    def __iter__(self) -> Iterator[MeasuredFrame]:
        """Raises BagError and CalibrationError: the bag cannot be read, a topic is missing or of another type."""
        with BagReader(self._bag) as reader:
            topics = reader.topics()
            wanted = self._wanted(topics)
            self._read_ahead(reader, wanted)
            decode = DECODERS[topics[self._image_topic].msgtype]
            every = max(1, topics[self._image_topic].message_count // self._count)
            seen = 0
            for entry in reader.messages([name for name in wanted if name != TF_STATIC]):
                if entry.topic == self._image_topic:
                    if seen % every == 0:
                        # With what was known when it came: the node does not wait for a calibration either.
                        self._waiting.append((entry.message, self.infos.copy()))
                    seen += 1
                else:
                    self._remember(entry.topic, entry.message)
                yield from self._complete(decode, last=False)
            yield from self._complete(decode, last=True)
            self.damages = reader.damages

    def _wanted(self, topics: Mapping[str, TopicSummary]) -> list[str]:
        """The topics to read, each of them of a type that can be used."""
        types: dict[str, Collection[str]] = {self._image_topic: PICTURE_TYPES}
        types[self._camera_info_topic] = (CAMERA_INFO_TYPE,)
        if self._reference.depth_topic is not None:
            types[self._reference.depth_topic] = (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
            for name, kind in ((self._depth_info_topic, CAMERA_INFO_TYPE), (TF_STATIC, _TF_TYPE)):
                if name in topics and topics[name].msgtype == kind:
                    types[name] = (kind,)
        if self._reference.points_topic is not None:
            types[self._reference.points_topic] = (_CLOUD_TYPE,)
            if TF_STATIC in topics:
                types[TF_STATIC] = (_TF_TYPE,)
        for name, usable in types.items():
            if name in topics and topics[name].msgtype in usable:
                continue
            problem = f"'{name}' is {topics[name].msgtype}" if name in topics else f"there is no topic '{name}'"
            there = ', '.join(entry.name for entry in topics.values() if entry.msgtype in usable) or 'none'
            raise CalibrationError(
                f'{self._bag}: {problem}; wanted is {" or ".join(usable)}, which the bag has on: {there}'
            )
        return list(types)

    def _read_ahead(self, reader: BagReader, wanted: Collection[str]) -> None:
        """Where the reference is: a recorder may have met the topics that say it after the first pictures."""
        ahead = [name for name in (TF_STATIC, self._depth_info_topic) if name in wanted]
        for entry in reader.messages(ahead) if ahead else ():
            message = entry.message
            if entry.topic == TF_STATIC:
                self.transforms.add(message.transforms)
            elif self._depth_infos.matching(message.header, *picture_size(message)) is None:
                self._depth_infos.remember(message)

    def _remember(self, topic: str, message: Any) -> None:
        if topic in (self._camera_info_topic, self._depth_info_topic):
            if topic == self._camera_info_topic:
                self.infos.remember(message)
            if topic == self._depth_info_topic:
                self._depth_infos.remember(message)
        else:
            if topic == self._reference.depth_topic:
                self._refuse_what_is_no_depth(topic, message)
            self._references = [*self._references, message][-_REMEMBERED:]

    def _complete(self, decode: Callable[[Any], NDArray[np.uint8]], last: bool) -> Iterator[MeasuredFrame]:
        """The pictures whose reference is known by now: nothing later can be nearer."""
        while self._waiting:
            found = None
            if self._other is not None:
                at_ns = stamp_ns(self._waiting[0][0])
                newest_ns = stamp_ns(self._references[-1]) if self._references else 0
                if not last and newest_ns < at_ns + LARGEST_GAP_NS:
                    return
                near = [one for one in self._references if abs(stamp_ns(one) - at_ns) <= LARGEST_GAP_NS]
                found = min(near, key=lambda one: abs(stamp_ns(one) - at_ns), default=None)
            message, infos = self._waiting.pop(0)
            if found is None and self._other is not None:
                continue
            try:
                rgb = decode(message)
                depth = self._measured(found) if found is not None and self._reference.depth_topic is not None else None
            except ImageError as error:
                self.unreadable.append(str(error))
                continue
            header, (height, width) = message.header, rgb.shape[:2]
            points = None if self._reference.points_topic is None else found
            info = infos.matching(header, width, height)
            camera = None if info is None else self.model_of(info)
            self.doubt = self.doubt or ('' if camera is None else camera.doubt)
            yield MeasuredFrame(header, rgb, _usable(camera), depth, points)

    def model_of(self, info: Any) -> CameraModel:
        """What a CameraInfo says of the pictures."""
        return CameraModel.of(info, self._image_topic, self._rectified)

    def _refuse_what_is_no_depth(self, topic: str, message: Any) -> None:
        if hasattr(message, 'encoding'):
            said, is_depth = message.encoding, message.encoding in METRES_PER_VALUE
        else:
            said, is_depth = message.format, is_compressed_depth(message)
        if not is_depth:
            raise CalibrationError(
                f"{self._bag}: the pictures on '{topic}' are '{said}'; depth is 32FC1 in metres, 16UC1 in millimetres, "
                'or one of both as compressedDepth: name another topic'
            )

    def _measured(self, message: Any) -> MeasuredDepth:
        metres = _metres(message) if hasattr(message, 'encoding') else decode_compressed_depth(message)
        height, width = metres.shape
        topic = self._reference.depth_topic or ''
        info = self._depth_infos.matching(message.header, width, height)
        camera = None if info is None else CameraModel.of_depth(info, topic)
        return MeasuredDepth(frame_of(message.header), metres, _usable(camera))


def _usable(camera: CameraModel | None) -> CameraModel | None:
    return None if camera is None or camera.problem else camera


def _metres(depth: Any) -> NDArray[np.float32]:
    metres: NDArray[np.float32] = decode_image(depth).astype(np.float32) * np.float32(METRES_PER_VALUE[depth.encoding])
    metres[~(metres > 0)] = np.nan
    return metres
