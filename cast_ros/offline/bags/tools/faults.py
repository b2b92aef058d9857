# SPDX-License-Identifier: Apache-2.0
"""Faults that real bags have, one of which is put into a copy of a good one: a closed table.

Each spoils one thing alone, at a place that the seed decides, so that a program under test meets nothing else. Where a
picture loses its stamp, and the bag has ground truth, its labels have no picture any more.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags.message_types import PICTURE_TYPES
from cast_ros.offline.bags.metadata import METADATA
from cast_ros.offline.bags.storage import storage_files
from cast_ros.offline.bags.tools import picture_faults, stream_faults
from cast_ros.offline.bags.tools.draft import Draft


@dataclass(frozen=True)
class Fault:
    """One way to spoil a bag; exactly one of the two functions is there.

    Attributes:
        means: what happens, in a line.
        finding: what `cast bag check` calls it.
        edit: changes messages and topics before the bag is written.
        damage: changes files afterwards.
    """

    means: str
    finding: str
    edit: Callable[[Draft], None] | None = None
    damage: Callable[[Path, random.Random], None] | None = None


def _truncate(bag: Path, dice: random.Random) -> None:
    file = storage_files(bag)[-1]
    size = file.stat().st_size
    with file.open('r+b') as content:
        content.truncate(int(size * dice.uniform(0.6, 0.95)))


def _remove_metadata(bag: Path, dice: random.Random) -> None:
    del dice  # there is only one place
    _metadata_of(bag).unlink()


def _metadata_of(bag: Path) -> Path:
    if not bag.is_dir():
        raise BagError(f'{bag.name} is one file, which has no metadata.yaml; give --out the name of a folder')
    return bag / METADATA


def _wrong_count(bag: Path, dice: random.Random) -> None:
    del dice  # the first topic is as good as any
    file = _metadata_of(bag)
    document = yaml.safe_load(file.read_text(encoding='utf-8'))
    told = document['rosbag2_bagfile_information']
    told['message_count'] += 3
    told['topics_with_message_count'][0]['message_count'] += 3
    file.write_text(yaml.safe_dump(document), encoding='utf-8')


def _add_json(bag: Path, dice: random.Random) -> None:
    del dice  # one such topic is as good as any
    file = _metadata_of(bag)
    document = yaml.safe_load(file.read_text(encoding='utf-8'))
    topics = document['rosbag2_bagfile_information']['topics_with_message_count']
    about = {'name': '/log', 'type': 'foxglove/Log', 'serialization_format': 'json', 'offered_qos_profiles': ''}
    topics.append({'topic_metadata': about, 'message_count': 0})
    file.write_text(yaml.safe_dump(document), encoding='utf-8')


FAULTS: dict[str, Fault] = {
    'truncated': Fault('the storage file ends somewhere in its last 40 %', 'truncated', damage=_truncate),
    'no-metadata': Fault('the folder loses its metadata.yaml', 'no-metadata', damage=_remove_metadata),
    'other-serialization': Fault('a topic is declared as JSON', 'other-serialization', damage=_add_json),
    'wrong-count': Fault('metadata.yaml promises three messages more', 'counts-differ', damage=_wrong_count),
    'empty-bag': Fault('all messages are gone', 'empty-bag', stream_faults.empty_bag),
    'empty-topic': Fault('a topic without a message is declared', 'empty-topic', stream_faults.empty_topic),
    'unknown-type': Fault('a topic of a type that nobody defines', 'unknown-type', stream_faults.unknown_type),
    'other-definition': Fault(
        'a topic of a known type, not defined in the bag, whose bytes are of another version',
        'other-definition',
        stream_faults.other_definition,
    ),
    'damaged-message': Fault('a message loses its last bytes', 'damaged-message', stream_faults.damaged_message),
    'latched-image': Fault('pictures become transient local', 'latched-image', stream_faults.latched_image),
    'zero-stamps': Fault('a picture gets the stamp 0', 'zero-stamps', stream_faults.zero_stamp),
    'far-future': Fault('a picture gets a stamp ten years ahead', 'stamp-skew', stream_faults.far_future),
    'stamps-back': Fault('a picture gets a stamp before its predecessor', 'stamps-back', stream_faults.stamp_back),
    'duplicate-stamps': Fault(
        'a picture gets the stamp of its predecessor', 'duplicate-stamps', stream_faults.duplicate_stamp
    ),
    'gap': Fault('four pictures in a row are gone', 'gap', stream_faults.gap),
    'orphan-labels': Fault('a label gets a stamp that no picture has', 'orphan-labels', stream_faults.orphan_labels),
    'no-camera-info': Fault('the topic camera_info is gone', 'no-camera-info', stream_faults.no_camera_info),
    'camera-info-size': Fault(
        'a camera_info is for pictures of another size', 'camera-info-size', stream_faults.camera_info_size
    ),
    'camera-info-frame': Fault(
        'camera_info gets the frame of another camera', 'camera-info-frame', stream_faults.camera_info_frame
    ),
    'empty-camera-info': Fault(
        'a camera_info has width and height 0', 'empty-camera-info', stream_faults.empty_camera_info
    ),
    'zero-k': Fault('a camera_info has matrices of zeros', 'zero-k', stream_faults.zero_k),
    'k-or-p': Fault(
        'P of a bent lens differs from K, and the pictures are named image', 'k-or-p', stream_faults.k_or_p
    ),
    'short-data': Fault('an Image loses the last third of its data', 'short-data', picture_faults.short_data),
    'bad-step': Fault('an Image has rows too short for its pixels', 'bad-step', picture_faults.bad_step),
    'zero-width': Fault('an Image has width 0', 'impossible-size', picture_faults.zero_width),
    'odd-width': Fault('an Image becomes yuyv of an odd width', 'impossible-size', picture_faults.odd_width),
    'unknown-encoding': Fault(
        'an Image has an encoding that does not exist', 'unknown-encoding', picture_faults.unknown_encoding
    ),
    'truncated-jpeg': Fault(
        'a CompressedImage loses the last third of its data', 'damaged-jpeg', picture_faults.truncated_jpeg
    ),
    'video-stream': Fault('a CompressedImage holds a piece of a video', 'video-stream', picture_faults.video_stream),
    'mixed-encodings': Fault(
        'pictures change their encoding midway', 'mixed-encodings', picture_faults.mixed_encodings
    ),
    'mixed-sizes': Fault(
        'pictures, and their camera_info, become a quarter midway', 'mixed-sizes', picture_faults.mixed_sizes
    ),
}
"""The closed table of faults: a new one is one entry here."""


def corrupt_bag(path: Path, out: Path, fault: str, topic: str | None = None, seed: int = 0) -> None:
    """Write a copy of a bag with one fault in it; the bag itself stays as it is.

    Args:
        path: a whole bag, small enough for the memory.
        out: a new folder, or a new `.mcap` or `.db3` file.
        fault: a key of FAULTS.
        topic: of the pictures that are spoilt; None for the first one outside the ground truth.
        seed: decides where.

    Raises:
        BagError: the fault is unknown, the bag cannot be read or has nothing to spoil, or ``out`` exists.
    """
    if fault not in FAULTS:
        raise BagError(f"there is no fault '{fault}'; there are: {', '.join(FAULTS)}")
    if out.exists():
        raise BagError(f'{out} exists already and is not overwritten; choose another name or remove it')
    entry = FAULTS[fault]
    draft = Draft.read(path, _picture_topic(path, topic), seed)
    if not draft.messages:
        raise BagError(f'{path} has no message that could be spoilt')
    if entry.edit is not None:
        entry.edit(draft)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Under its name there is never a copy that has no fault yet.
        with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as folder:
            copy = Path(folder) / out.name
            draft.write(copy)
            if entry.damage is not None:
                entry.damage(copy, random.Random(seed))  # noqa: S311, a place in a file, no secret
            copy.replace(out)
    except OSError as error:
        raise BagError(f'{out} cannot be written: {error}') from error


def _picture_topic(path: Path, asked: str | None) -> str | None:
    with BagReader(path) as reader:
        pictures = [
            entry.name
            for entry in reader.topics().values()
            if entry.msgtype in PICTURE_TYPES and entry.message_count and not entry.name.startswith('/ground_truth/')
        ]
        if asked is not None and asked not in pictures:
            raise BagError(f"{path} has no pictures on '{asked}'; it has them on: {', '.join(pictures) or 'no topic'}")
    return asked or next(iter(pictures), None)
