# SPDX-License-Identifier: Apache-2.0
"""The pictures of a bag one by one, each with its calibration and its ground truth, in order of recording."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cast_ros.errors import BagError, ImageError
from cast_ros.images.camera_info import CameraModel, Rectified
from cast_ros.images.camera_infos import CameraInfoCache
from cast_ros.images.sixteen_bits import SixteenBits
from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.ground_truth_topics import LABEL_TOPICS, read_label_notes
from cast_ros.offline.bags.messages import stamp_ns
from cast_ros.offline.bags.pictures import DECODERS, find_camera_info_topic, find_picture_topic
from cast_ros.offline.bags.reader import RawMessage
from cast_ros.offline.evaluation.ground_truth import GroundTruth, LabelKey, decode_ground_truth
from cast_ros.student import StudentContract

if TYPE_CHECKING:
    from typing_extensions import Self

# Labels may be recorded a little after their picture. Beyond so many pictures they are not waited for.
MOST_WAITING = 30


@dataclass(eq=False)
class RecordedFrame:
    """One picture of the bag.

    Attributes:
        index: number of its message on the topic.
        stamp_ns: of its header; time of recording where drivers leave it empty, or its bytes are damaged.
        recorded_ns: when the recorder got it.
        raw: its message as it was recorded.
        frame_id: of its header.
        rgb: H×W×3; None if it cannot be decoded.
        problem: why not; '' if it can.
        fx_px: focal length in pixels of the picture; None without a calibration that fits.
        uncalibrated: why there is none; '' if there is one, or the picture cannot be decoded.
        labels: messages of ground truth by topic.
        message: decoded from `raw`; None if its bytes are damaged.
        infos: what was known of cameras when it came.
    """

    index: int
    stamp_ns: int
    recorded_ns: int
    raw: RawMessage
    frame_id: str = ''
    rgb: NDArray[np.uint8] | None = None
    problem: str = ''
    fx_px: float | None = None
    uncalibrated: str = ''
    labels: dict[str, Any] = field(default_factory=dict)
    message: Any | None = None
    infos: CameraInfoCache = field(default_factory=CameraInfoCache)


class PictureBag:
    """An open bag with a topic of pictures, as much of it as can be read; use it in a `with` statement.

    Args:
        path: the bag.
        topic: of the pictures; None takes the only one.
        camera_info_topic: of their calibration; None takes the one beside them.
        rectified: as the node's parameter.

    Attributes:
        topic, camera_info_topic: as found.
        pictures: how many the bag promises.
        truth_topics: of the ground truth that it has.
        faults: topics with damaged messages, and the first reason; fills while frames are read.
        intrinsics: which matrix of camera_info held for the last picture, and why; '' without one.
        doubt: what a person should settle about that; '' if nothing.
        labels_without_picture: how many messages of ground truth have a stamp that no picture has; grows with frames.

    Raises:
        BagError: the bag cannot be read, or lacks a topic.
    """

    def __init__(
        self,
        path: Path,
        topic: str | None = None,
        camera_info_topic: str | None = None,
        rectified: Rectified = 'auto',
    ) -> None:
        self.path = path
        self._reader = BagReader(path, salvage=True)
        self._asked = topic, camera_info_topic
        self._rectified = rectified
        self.topic = ''
        self.camera_info_topic: str | None = None
        self.pictures = 0
        self.truth_topics: tuple[str, ...] = ()
        self.faults: dict[str, str] = {}
        self.labels_without_picture = 0
        self.intrinsics = self.doubt = ''
        self._stamped = True
        self._sixteen_bits = SixteenBits()

    def __enter__(self) -> Self:
        self._reader.__enter__()
        try:
            present = self._reader.topics()
            self.topic = find_picture_topic(self._reader, self._asked[0], LABEL_TOPICS)
            self.camera_info_topic = find_camera_info_topic(self._reader, self.topic, self._asked[1])
            self.pictures = present[self.topic].message_count
            self.truth_topics = tuple(name for name in LABEL_TOPICS if name in present and present[name].message_count)
            self._notes = read_label_notes(self._reader) if self.truth_topics else None
            self._stamped = self._has_stamps()
        except BaseException:
            self._reader.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    @property
    def damage(self) -> str:
        """What is wrong with the bag's files, and how much of them was read all the same; '' for a whole one."""
        return '; '.join(str(damage) for damage in self._reader.damages)

    def label_key(self, contract: StudentContract) -> LabelKey | None:
        """How this bag's ground truth reads in a student's classes; None without ground truth."""
        return None if self._notes is None else LabelKey.by_name(*self._notes, contract)

    def frames(self) -> Iterator[RecordedFrame]:
        """Every picture, also those that cannot be decoded; labels are waited for, a picture never for its calibration.

        Raises:
            BagError: the bag is damaged between two messages; what was read before has come.
        """
        waiting: deque[RecordedFrame] = deque()
        orphans: dict[int, dict[str, Any]] = {}
        messages = self._reader.raw_messages([self.topic, *self.truth_topics, *self._camera_info_topics()])
        infos, count, damage = self._first_infos(), 0, None
        while True:
            try:
                raw = next(messages, None)
            except BagError as error:
                raw, damage = None, error
            if raw is None:
                break
            if raw.topic == self.topic:
                waiting.append(self._picture(raw, count, infos.copy()))
                waiting[-1].labels.update(orphans.pop(waiting[-1].stamp_ns, {}))
                count += 1
            else:
                message = self._decoded(raw)
                if message is not None and raw.topic == self.camera_info_topic:
                    infos.remember(message)
                elif message is not None:
                    self._hand_over(message, raw.topic, waiting, orphans)
            while waiting and (len(waiting[0].labels) == len(self.truth_topics) or len(waiting) > MOST_WAITING):
                yield self._with_pixels(waiting.popleft())
        while waiting:
            yield self._with_pixels(waiting.popleft())
        self.labels_without_picture += sum(map(len, orphans.values()))
        if damage is not None:
            raise damage

    def _hand_over(
        self, message: Any, topic: str, waiting: deque[RecordedFrame], orphans: dict[int, dict[str, Any]]
    ) -> None:
        stamp = stamp_ns(message)
        for frame in waiting:
            if frame.stamp_ns == stamp and topic not in frame.labels:
                frame.labels[topic] = message
                return
        # Labels that came before their picture, and those without any.
        alone = orphans.setdefault(stamp, {})
        self.labels_without_picture += topic in alone
        alone[topic] = message
        if len(orphans) > MOST_WAITING:
            self.labels_without_picture += len(orphans.pop(next(iter(orphans))))

    def _camera_info_topics(self) -> list[str]:
        return [] if self.camera_info_topic is None else [self.camera_info_topic]

    def _first_infos(self) -> CameraInfoCache:
        """The first calibration that can be read, for pictures before it."""
        topics_of_it = self._camera_info_topics()
        found = (self._decoded(raw) for raw in self._reader.raw_messages(topics_of_it)) if topics_of_it else iter(())
        infos = CameraInfoCache()
        for info in islice((info for info in found if info is not None), 1):
            infos.remember(info)
        return infos

    def _has_stamps(self) -> bool:
        """Whether the driver stamps pictures: a clock may begin at 0, but not stand there."""
        for raw in islice(self._reader.raw_messages([self.topic]), 2):
            message = self._decoded(raw)
            if message is not None and stamp_ns(message):
                return True
        return False

    def _decoded(self, raw: RawMessage) -> Any | None:
        """The message; None, and noted, if it is damaged."""
        try:
            return self._reader.decode(raw)
        except BagError as error:
            self.faults.setdefault(raw.topic, str(error))
            return None

    def _picture(self, raw: RawMessage, index: int, infos: CameraInfoCache) -> RecordedFrame:
        frame = RecordedFrame(index, raw.recorded_ns, raw.recorded_ns, raw, infos=infos)
        try:
            frame.message = self._reader.decode(raw)
        except BagError as error:
            frame.problem = str(error)
            return frame
        frame.frame_id = str(frame.message.header.frame_id)
        if self._stamped:
            frame.stamp_ns = stamp_ns(frame.message)
        return frame

    def _with_pixels(self, frame: RecordedFrame) -> RecordedFrame:
        """Decoded when its turn comes: what waits for labels takes little memory."""
        if frame.message is None:
            return frame
        try:
            frame.rgb = DECODERS[frame.raw.msgtype](frame.message, sixteen_bits=self._sixteen_bits)
        except ImageError as error:
            frame.problem = str(error)
            return frame
        (height, width), header = frame.rgb.shape[:2], frame.message.header
        info = frame.infos.matching(header, width, height)
        if info is None:
            frame.uncalibrated = frame.infos.why_none(header, width, height)
        else:
            camera = CameraModel.of(info, self.topic, self._rectified)
            frame.fx_px, frame.uncalibrated = camera.fx_px, camera.problem and f'camera_info: {camera.problem}'
            self.intrinsics, self.doubt = f'{camera.matrix}: {camera.reason}', camera.doubt
        return frame


def truth_of(frame: RecordedFrame, key: LabelKey | None) -> GroundTruth | None:
    """What is really in a picture, in the classes of the student that the key was made for; None without labels.

    Raises:
        ImageError: a picture of labels is damaged, or has another size than the picture.
    """
    if key is None or not frame.labels:
        return None
    truth = decode_ground_truth(frame.stamp_ns, frame.labels.get(topics.INSTANCES), frame.labels.get(topics.DEPTH), key)
    # Here, so that no metric takes a part of a picture whose other part it has to refuse.
    for labels in (truth.semantic, truth.depth):
        if labels is not None and frame.rgb is not None and labels.shape != frame.rgb.shape[:2]:
            sizes = ' and '.join(f'{shape[1]}×{shape[0]}' for shape in (labels.shape, frame.rgb.shape))
            raise ImageError(f'labels and picture must have one size, have {sizes}')
    return truth
