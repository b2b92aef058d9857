# SPDX-License-Identifier: Apache-2.0
"""What is in a bag, from its index and the first picture of each topic."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from rosbags.interfaces import Qos

from cast_ros.errors import BagError, ImageError
from cast_ros.offline.bags import BagReader, Damage, TopicSummary
from cast_ros.offline.bags.ground_truth_topics import LABEL_TOPICS
from cast_ros.offline.bags.message_types import PICTURE_TYPES, camera_info_beside
from cast_ros.offline.bags.messages import NANOSECONDS
from cast_ros.offline.bags.storage import files_of
from cast_ros.offline.bags.tools.pictures import form_of

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class PictureInfo:
    """The first picture of a topic.

    Attributes:
        encoding: of an Image; jpeg or png of a CompressedImage; '' if it is not decoded here.
        width: pixels, 0 if unknown; height likewise.
        size_bytes: of the serialized message.
        camera_info: the topic beside it, None if the bag has none.
        problem: why it does not decode; empty if it does.
    """

    encoding: str
    width: int
    height: int
    size_bytes: int
    frame_id: str
    camera_info: str | None
    problem: str = ''


@dataclass(frozen=True)
class TopicInfo:
    """One topic; ``rate_hz`` is over the whole bag, None where that means nothing."""

    name: str
    msgtype: str
    messages: int
    rate_hz: float | None
    qos: tuple[str, ...]
    picture: PictureInfo | None


@dataclass(frozen=True)
class BagInfo:
    """A bag at a glance.

    Attributes:
        storage: mcap or sqlite3.
        compression: such as ``zstd (chunk)``; none.
        sha256: of each file, by name; empty if nobody asked.
        ground_truth: its topics that have messages.
        damages: of the storage; what is told is then what can be read.
    """

    path: Path
    storage: str
    compression: str
    size_bytes: int
    start_ns: int
    duration_s: float
    messages: int
    topics: tuple[TopicInfo, ...]
    ground_truth: tuple[str, ...]
    sha256: dict[str, str]
    damages: tuple[Damage, ...]


def bag_info(path: Path, with_sha256: bool = False) -> BagInfo:
    """Look into a bag, damaged or not; with_sha256 reads all of it.

    Raises:
        BagError: not one message can be read.
    """
    with BagReader(path, salvage=True) as reader:
        duration_s = reader.duration_ns / NANOSECONDS
        topics = tuple(_topic(reader, *entry, duration_s) for entry in reader.topics().items())
        files = files_of(path)
        ground_truth = tuple(entry.name for entry in topics if entry.name in LABEL_TOPICS and entry.messages)
        try:
            sizes = sum(file.stat().st_size for file in files)
            digests = {file.name: _sha256(file) for file in files} if with_sha256 else {}
        except OSError as error:
            raise BagError(f'{path} cannot be read: {error}') from error
        return BagInfo(
            path,
            reader.storage,
            reader.compression,
            sizes,
            reader.start_ns,
            duration_s,
            sum(entry.messages for entry in topics),
            topics,
            ground_truth,
            digests,
            reader.damages,
        )


def _topic(reader: BagReader, name: str, summary: TopicSummary, duration_s: float) -> TopicInfo:
    definition = reader.definitions()[name]
    count = summary.message_count
    rate_hz = (count - 1) / duration_s if count > 1 and duration_s > 0 else None
    picture = _picture(reader, name, summary.msgtype) if summary.msgtype in PICTURE_TYPES and count else None
    return TopicInfo(name, summary.msgtype, count, rate_hz, tuple(map(qos_line, definition.qos)), picture)


def _picture(reader: BagReader, topic: str, msgtype: str) -> PictureInfo | None:
    raw = next(reader.raw_messages([topic]), None)
    if raw is None:
        return None
    beside = camera_info_beside(topic)
    camera_info = beside if beside in reader.topics() else None
    try:
        message = reader.decode(raw)
    except BagError as error:
        return PictureInfo('', 0, 0, len(raw.data), '', camera_info, str(error))
    frame_id = str(message.header.frame_id)
    try:
        form = form_of(message, msgtype)
    except ImageError as error:
        return PictureInfo('', 0, 0, len(raw.data), frame_id, camera_info, str(error))
    return PictureInfo(*form, len(raw.data), frame_id, camera_info)


def qos_line(profile: Qos) -> str:
    """A profile in a few words, such as ``reliable, volatile, keep last 10``."""
    words = [profile.reliability.name, profile.durability.name, profile.history.name]
    line = ', '.join(word.lower().replace('_', ' ') for word in words)
    return f'{line} {profile.depth}' if profile.history.name == 'KEEP_LAST' else line


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open('rb') as content:
        while block := content.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
