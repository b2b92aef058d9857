# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a bag: a closed table, and the findings of one check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple


class Kind(NamedTuple):
    """One thing that can be wrong, and what to do about it."""

    means: str
    advice: str


KINDS: dict[str, Kind] = {
    'no-metadata': Kind(
        'the folder has no metadata.yaml',
        'the recorder was killed: `ros2 bag reindex` makes a new one, `cast bag cut` a whole copy',
    ),
    'truncated': Kind(
        'a storage file was cut short or is damaged',
        'keep the original; `cast bag cut` writes what can be read into a whole bag',
    ),
    'counts-differ': Kind(
        'metadata.yaml, the index of the storage and the reading do not say the same number of messages',
        'what can be read is used; `ros2 bag reindex` makes a new metadata.yaml, `cast bag cut` a whole copy',
    ),
    'other-serialization': Kind(
        'a topic that is not serialized as cdr, the format of ROS 2',
        'it is left out everywhere; convert it, or record it as ROS 2',
    ),
    'empty-bag': Kind('the bag has no message at all', 'see whether the recorder met its topics (name, QoS, domain)'),
    'empty-topic': Kind('a topic without a message', 'see whether it was published, and with which QoS'),
    'unknown-type': Kind(
        'a type that is neither known here nor defined in the bag in a way that can be used',
        'record as MCAP, which brings its types along',
    ),
    'other-definition': Kind(
        'bytes that are none of the type as it is known here, in a bag that does not define it',
        'keep them, they may be of another version of ROS; record as MCAP, which brings its types along',
    ),
    'damaged-message': Kind('bytes that are no message of the type', 'leave them out: `cast bag cut --drop-damaged`'),
    'latched-image': Kind(
        'pictures recorded as transient local',
        'let the driver publish them volatile: late subscribers get an old picture',
    ),
    'zero-stamps': Kind('header stamps of 0', 'let the driver fill in the stamp: nothing can be matched without'),
    'stamp-skew': Kind(
        'header stamp and time of recording more than an hour apart',
        'synchronise the clocks, or see whether the driver stamps with time since boot',
    ),
    'stamps-back': Kind(
        'a header stamp before the one of the message before', 'sort by stamp, or see to the clock of the driver'
    ),
    'duplicate-stamps': Kind('two messages with one header stamp', 'leave the copies out: they count twice'),
    'gap': Kind(
        'stamps further apart than three times the usual', 'messages were lost: see to disk, network and QoS depth'
    ),
    'orphan-labels': Kind(
        'ground truth whose stamp no picture has',
        'give both one stamp; such labels are judged nowhere',
    ),
    'no-camera-info': Kind(
        'no topic camera_info beside the pictures', 'record it: depth in metres needs the focal length'
    ),
    'camera-info-size': Kind(
        'camera_info is for pictures of another size', 'calibrate at the size that is recorded, or scale both'
    ),
    'camera-info-frame': Kind(
        'camera_info is of another frame than the pictures',
        'give both one frame_id: what is not of this camera is not believed',
    ),
    'empty-camera-info': Kind('camera_info with width or height 0', 'let the driver fill in the size of its pictures'),
    'zero-k': Kind(
        'camera_info without a focal length (all 0, negative or no number)', 'load a calibration into the driver'
    ),
    'k-or-p': Kind(
        'K and P of camera_info differ, and neither its numbers nor the name of the topic say which holds',
        'name rectified pictures image_rect*, others image_raw*, or settle it with `--rectified`',
    ),
    'short-data': Kind('pictures with fewer bytes than their fields say', 'see to the driver; they cannot be decoded'),
    'bad-step': Kind('rows shorter than their pixels (step)', 'let the driver fill in step'),
    'impossible-size': Kind(
        'pictures without a pixel, far too large, or of a size that their encoding cannot have',
        'see to the driver; they cannot be decoded',
    ),
    'unknown-encoding': Kind('an encoding that nobody here decodes', 'convert before recording'),
    'damaged-jpeg': Kind(
        'a compressed picture that does not decode', 'see to disk and network; it is left out everywhere'
    ),
    'video-stream': Kind(
        'CompressedImage that holds pieces of a video (h264, h265)',
        'decode it while recording: `ros2 run image_transport republish ffmpeg raw`; it is left out everywhere',
    ),
    'mixed-encodings': Kind('the encoding changes within a topic', 'cut the bag where it changes'),
    'mixed-sizes': Kind('the size of the pictures changes within a topic', 'cut the bag where it changes'),
}
"""The closed table of findings, in the order of reports: a new one is one entry here."""


class Place(NamedTuple):
    """Where something was found.

    Attributes:
        message: number of the message on its topic from 0; None for what is no message.
        second: of recording, from the start of the bag; None likewise.
        detail: what is there, in a line.
    """

    message: int | None = None
    second: float | None = None
    detail: str = ''

    def __str__(self) -> str:
        where = '' if self.message is None else f'message {self.message} at {self.second or 0:.3f} s'
        return ': '.join(part for part in (where, self.detail) if part)


@dataclass(frozen=True)
class Finding:
    """One kind of trouble on one topic ('' for the storage), how often, and where first."""

    kind: str
    topic: str
    count: int
    first: Place

    @property
    def advice(self) -> str:
        """What to do about it."""
        return KINDS[self.kind].advice


class Findings:
    """Findings as they come in."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def add(self, kind: str, topic: str, place: Place) -> None:
        """Count one; the first place of a kind on a topic is kept."""
        key = kind, topic
        if kind not in KINDS:
            raise KeyError(kind)
        known = self._found.get(key)
        self._found[key] = replace(known, count=known.count + 1) if known else Finding(kind, topic, 1, place)

    def __iter__(self) -> Iterator[Finding]:
        """In the order of the table, then by topic."""
        order = {kind: number for number, kind in enumerate(KINDS)}
        return iter(sorted(self._found.values(), key=lambda entry: (order[entry.kind], entry.topic)))
