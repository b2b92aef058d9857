# SPDX-License-Identifier: Apache-2.0
"""What metadata.yaml says of a bag: its files, its topics, and how many messages they have."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, NamedTuple

import yaml
from rosbags.interfaces import Qos
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.metadata import parse_qos

from cast_ros.errors import BagError

METADATA = 'metadata.yaml'
_NEWEST = 9
_STORAGES = ('mcap', 'sqlite3')


class ToldTopic(NamedTuple):
    """A topic as metadata.yaml has it."""

    name: str
    msgtype: str
    serialization: str
    digest: str
    qos: tuple[Qos, ...]
    messages: int


class BagMetadata(NamedTuple):
    """A metadata.yaml.

    Attributes:
        files: names of the storage files.
        topics: in the order of the file.
        messages: in all.
        compression: of files or messages, such as ``zstd``; '' without.
    """

    files: tuple[str, ...]
    topics: tuple[ToldTopic, ...]
    messages: int
    compression: str


def read_metadata(bag: Path) -> BagMetadata:
    """Read it.

    Raises:
        BagError: it is none, or of a version or storage that nobody here knows.
    """
    try:
        document = yaml.safe_load((bag / METADATA).read_text(encoding='utf-8'))
        told = document['rosbag2_bagfile_information']
        if told['version'] > _NEWEST:
            raise BagError(f'{METADATA} has version {told["version"]}; known are those up to {_NEWEST}')
        if told['storage_identifier'] not in _STORAGES:
            raise BagError(f'{METADATA} names the storage {told["storage_identifier"]!r}; known are mcap and sqlite3')
        packed = str(told.get('compression_mode') or 'none').lower() != 'none'
        return BagMetadata(
            # Old ones have the folder of the bag before the name.
            tuple(PurePath(name).name for name in told['relative_file_paths']),
            tuple(_topic(entry) for entry in told['topics_with_message_count']),
            int(told['message_count']),
            str(told.get('compression_format') or '') if packed else '',
        )
    except KeyError as error:
        raise BagError(f'{METADATA} lacks {error}') from error
    except (OSError, yaml.YAMLError, ReaderError, TypeError, ValueError, AttributeError) as error:
        raise BagError(f'{METADATA} cannot be read: {error}') from error


def _topic(entry: dict[str, Any]) -> ToldTopic:
    topic = entry['topic_metadata']
    return ToldTopic(
        str(topic['name']),
        str(topic['type']),
        str(topic['serialization_format']),
        str(topic.get('type_description_hash') or ''),
        tuple(parse_qos(topic.get('offered_qos_profiles') or [])),
        int(entry['message_count']),
    )
