# SPDX-License-Identifier: Apache-2.0
"""The rows of a sqlite3 storage file up to the first one that the database cannot read."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.metadata import parse_qos

from cast_ros.bags.salvage import PartTopic

_FORMATS = {'ros2msg': MessageDefinitionFormat.MSG, 'ros2idl': MessageDefinitionFormat.IDL}


class Db3Part:
    """One `.db3` file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._topics: dict[int, PartTopic] = {}
        self.problem = ''

    @property
    def topics(self) -> Collection[PartTopic]:
        """Every topic that the last `messages()` came across."""
        return list(dict.fromkeys(self._topics.values()))

    def messages(self) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes, in the order of recording."""
        self._topics, self.problem = {}, ''
        readable = 0
        try:
            # Immutable: no lock and no journal is looked for, so that a bag on a read-only disk opens too.
            address = f'file:{quote(str(self._path.absolute()))}?mode=ro&immutable=1'
            with closing(sqlite3.connect(address, uri=True)) as database:
                # Else sqlite refuses every file that is shorter than its header says.
                database.execute('PRAGMA writable_schema=ON')
                self._topics = _topics(database)
                for number, recorded_ns, data in database.execute(
                    'SELECT topic_id, timestamp, data FROM messages ORDER BY id'
                ):
                    if number in self._topics and isinstance(data, bytes) and isinstance(recorded_ns, int):
                        yield self._topics[number], recorded_ns, data
                        readable += 1
        except (sqlite3.Error, ReaderError, UnicodeDecodeError, TypeError) as error:
            self.problem = f'cut short or damaged after row {readable} ({error})'


def _topics(database: sqlite3.Connection) -> dict[int, PartTopic]:
    """Topics by their ids; bags before Iron have no types in them, those before Foxy no QoS."""
    columns = {row[1] for row in database.execute('PRAGMA table_info(topics)')}
    optional = [
        name if name in columns else f"'' AS {name}" for name in ('offered_qos_profiles', 'type_description_hash')
    ]
    definitions = _definitions(database)
    rows = database.execute(f'SELECT id, name, type, {", ".join(optional)} FROM topics')  # noqa: S608, our own words
    return {
        number: PartTopic(name, msgtype, definitions.get(msgtype, _NOTHING), digest, tuple(parse_qos(profiles)))
        for number, name, msgtype, profiles, digest in rows
    }


_NOTHING = MessageDefinition(MessageDefinitionFormat.NONE, '')


def _definitions(database: sqlite3.Connection) -> dict[str, MessageDefinition]:
    if not list(database.execute('PRAGMA table_info(message_definitions)')):
        return {}
    rows = database.execute('SELECT topic_type, encoding, encoded_message_definition FROM message_definitions')
    return {
        name: MessageDefinition(_FORMATS.get(encoding, MessageDefinitionFormat.NONE), text)
        for name, encoding, text in rows
    }
