# SPDX-License-Identifier: Apache-2.0
"""What is in a bag: one pass that measures every picture and notes calibrations and the stamps of labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cast_ros.errors import BagError, ImageError
from cast_ros.images.camera_info import Rectified, frame_of
from cast_ros.offline.bags import BagReader, RawMessage
from cast_ros.offline.bags import ground_truth_topics as topics
from cast_ros.offline.bags.messages import stamp_ns
from cast_ros.offline.bags.pictures import read_picture
from cast_ros.offline.bags.storage import fingerprint_of
from cast_train.data.bag_cameras import Calibrations
from cast_train.data.frame_selection import Measurement, measure
from cast_train.data.frames_manifest import BagIdentity, LabelKind

LABEL_TOPICS: dict[LabelKind, str] = {'instances': topics.INSTANCES, 'depth': topics.DEPTH}


@dataclass(frozen=True)
class Picture:
    """A readable picture: number of its message on the topic, size in pixels, frame, and what the filters need."""

    message: int
    height: int
    width: int
    frame: str
    measurement: Measurement


@dataclass
class Survey:
    """All that the choice of frames depends on.

    Attributes:
        calibrations: of the camera_info topic.
        messages: number of messages on the picture topic.
        pictures: the readable ones, in the order of recording.
        first_problem: why the first unreadable one is unreadable.
        label_stamps: for each kind of label that the bag has.
    """

    calibrations: Calibrations
    messages: int = 0
    pictures: list[Picture] = field(default_factory=list)
    first_problem: str = ''
    label_stamps: dict[LabelKind, set[int]] = field(default_factory=dict)


def survey(
    reader: BagReader,
    topic: str,
    camera_topic: str | None,
    label_topics: Mapping[LabelKind, str],
    rectified: Rectified,
    advance: Callable[[], None],
) -> Survey:
    """Read the bag once, a message at a time; what cannot be decoded is counted and left out.

    Args:
        reader: open.
        topic: of the pictures.
        camera_topic: of their camera_info; None if there is none.
        label_topics: those that the bag has.
        rectified: as the node's parameter.
        advance: called after each picture.

    Raises:
        BagError: the storage itself is damaged, so that nothing after the damage can be found.
    """
    found = Survey(Calibrations(topic, rectified), label_stamps={kind: set() for kind in label_topics})
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


def _add_picture(found: Survey, reader: BagReader, raw: RawMessage) -> None:
    found.messages += 1
    try:
        message, rgb = read_picture(reader, raw)
        # A driver that leaves the stamp empty gets the time of recording.
        stamp = stamp_ns(message) or raw.recorded_ns
    except (BagError, ImageError) as error:
        found.first_problem = found.first_problem or str(error)
        return
    height, width = rgb.shape[:2]
    found.pictures.append(Picture(found.messages - 1, height, width, frame_of(message.header), measure(rgb, stamp)))


def identity_of(path: Path) -> BagIdentity:
    """Name and fingerprint of a bag, which stay the same when it is moved.

    Raises:
        BagError: a file cannot be read.
    """
    fingerprint, size = fingerprint_of(path)
    name = re.sub(r'[^A-Za-z0-9_.-]+', '-', path.resolve().stem).lstrip('.-')[:100]
    return BagIdentity(name=name or 'bag', fingerprint=fingerprint, size_bytes=size)
