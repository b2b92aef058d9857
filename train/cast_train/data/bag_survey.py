# SPDX-License-Identifier: Apache-2.0
"""What is in a bag: one pass that measures every picture and notes calibrations and the stamps of labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cast_ros.bags import BagError, BagReader, RawMessage
from cast_ros.bags.camera_topics import camera_info_beside
from cast_ros.bags.identity import fingerprint_of
from cast_ros.bags.messages import stamp_ns
from cast_ros.evaluation import topics
from cast_ros.images import ImageError, decode_compressed_rgb, decode_rgb
from cast_train.data.bag_cameras import Calibrations
from cast_train.data.frame_selection import Measurement, measure
from cast_train.data.frames_manifest import BagIdentity, LabelKind
from cast_train.errors import DataError

DECODERS: dict[str, Callable[[Any], npt.NDArray[np.uint8]]] = {
    'sensor_msgs/msg/Image': decode_rgb,
    topics.COMPRESSED_IMAGE_TYPE: decode_compressed_rgb,
}
LABEL_TOPICS: dict[LabelKind, str] = {'instances': topics.INSTANCES, 'depth': topics.DEPTH}


@dataclass(frozen=True)
class Picture:
    """A readable picture: number of its message on the topic, size in pixels, and what the filters need."""

    message: int
    height: int
    width: int
    measurement: Measurement


@dataclass
class Survey:
    """All that the choice of frames depends on.

    Attributes:
        messages: number of messages on the picture topic.
        pictures: the readable ones, in the order of recording.
        first_problem: why the first unreadable one is unreadable.
        calibrations: of the camera_info topic.
        label_stamps: for each kind of label that the bag has.
    """

    messages: int = 0
    pictures: list[Picture] = field(default_factory=list)
    first_problem: str = ''
    calibrations: Calibrations = field(default_factory=Calibrations)
    label_stamps: dict[LabelKind, set[int]] = field(default_factory=dict)


def survey(
    reader: BagReader,
    topic: str,
    camera_topic: str | None,
    label_topics: Mapping[LabelKind, str],
    advance: Callable[[], None],
) -> Survey:
    """Read the bag once, a message at a time; what cannot be decoded is counted and left out.

    Args:
        reader: open.
        topic: of the pictures.
        camera_topic: of their camera_info; None if there is none.
        label_topics: those that the bag has.
        advance: called after each picture.

    Raises:
        BagError: the storage itself is damaged, so that nothing after the damage can be found.
    """
    found = Survey(label_stamps={kind: set() for kind in label_topics})
    kinds = {name: kind for kind, name in label_topics.items()}
    wanted = [topic, *label_topics.values(), *([camera_topic] if camera_topic else [])]
    for raw in reader.raw_messages(wanted):
        if raw.topic == topic:
            _add_picture(found, reader, raw)
            advance()
            continue
        try:
            message = reader.decode(raw)
        except BagError:
            continue  # a picture without this label or calibration is told of in the summary
        if raw.topic == camera_topic:
            found.calibrations.add(stamp_ns(message), message)
        else:
            found.label_stamps[kinds[raw.topic]].add(stamp_ns(message))
    return found


def read_picture(reader: BagReader, raw: RawMessage) -> tuple[int, npt.NDArray[np.uint8]]:
    """Stamp and H×W×3 RGB pixels of a message; a driver that leaves the stamp empty gets the time of recording.

    Raises:
        BagError, ImageError: it is damaged, or of an encoding that is no picture.
    """
    message = reader.decode(raw)
    return stamp_ns(message) or raw.recorded_ns, DECODERS[raw.msgtype](message)


def _add_picture(found: Survey, reader: BagReader, raw: RawMessage) -> None:
    found.messages += 1
    try:
        stamp, rgb = read_picture(reader, raw)
    except (BagError, ImageError) as error:
        found.first_problem = found.first_problem or str(error)
        return
    height, width = rgb.shape[:2]
    found.pictures.append(Picture(found.messages - 1, height, width, measure(rgb, stamp)))


def require_pictures(reader: BagReader, topic: str) -> int:
    """The number of messages on a topic of pictures.

    Raises:
        DataError: there is no such topic, it has other things, or it has no message; names the topics with pictures.
    """
    present = reader.topics()
    others = ', '.join(
        f'{entry.name} ({entry.message_count})'
        for entry in present.values()
        if entry.msgtype in DECODERS and entry.message_count and entry.name not in LABEL_TOPICS.values()
    )
    advice = f'topics with pictures: {others or "none"}'
    if topic not in present:
        raise DataError(f'{reader.path} has no topic {topic}; {advice}')
    if present[topic].msgtype not in DECODERS:
        raise DataError(f'{reader.path}: {topic} is {present[topic].msgtype}, not pictures; {advice}')
    if not present[topic].message_count:
        raise DataError(f'{reader.path}: {topic} has no message; {advice}')
    return present[topic].message_count


def find_camera_topic(reader: BagReader, topic: str, asked: str | None) -> str | None:
    """The topic of calibrations: as asked, else the one beside the pictures if the bag has it.

    Raises:
        DataError: the one that was asked for is missing, or is something else.
    """
    name = asked or camera_info_beside(topic)
    entry = reader.topics().get(name)
    if entry is not None and entry.msgtype == topics.CAMERA_INFO_TYPE:
        return name
    if asked is None:
        return None
    infos = (known.name for known in reader.topics().values() if known.msgtype == topics.CAMERA_INFO_TYPE)
    raise DataError(f'{reader.path} has no camera_info on {asked}; it has: {", ".join(infos) or "none"}')


def identity_of(path: Path) -> BagIdentity:
    """Name and fingerprint of a bag, which stay the same when it is moved.

    Raises:
        BagError: a file cannot be read.
    """
    fingerprint, size = fingerprint_of(path)
    name = re.sub(r'[^A-Za-z0-9_.-]+', '-', path.resolve().stem).lstrip('.-')[:100]
    return BagIdentity(name=name or 'bag', fingerprint=fingerprint, size_bytes=size)
