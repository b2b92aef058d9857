# SPDX-License-Identifier: Apache-2.0
"""The rows of a sqlite3 storage file: of a whole one by its index, else up to the first that cannot be read.

A file that was cut within a page is shown to sqlite without that page: it would fill the rest of it with zeros, and so
make up the end of a message. That takes a file system of our own, which `apsw` has and the sqlite3 of Python has not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import apsw
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.metadata import parse_qos

from cast_ros.offline.bags.storage import PartTopic, Scan

_FILE_SYSTEM = 'cast_ros_whole_pages'
_PAGE_SIZE_AT = 16
_FORMATS = {'ros2msg': MessageDefinitionFormat.MSG, 'ros2idl': MessageDefinitionFormat.IDL}

_NOTHING = MessageDefinition(MessageDefinitionFormat.NONE, '')


class IndexedDb3:
    """A whole `.db3` file, open for reading.

    Raises:
        apsw.Error: it is damaged, or no database.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ''
        self._database = _open(path)
        try:
            self._topics = _topics(self._database)
            self.counts: Counter[PartTopic] = Counter(dict.fromkeys(self._topics.values(), 0))
            self.strays = 0
            for number, count in self._database.execute('SELECT topic_id, count(*) FROM messages GROUP BY topic_id'):
                if number in self._topics:
                    self.counts[self._topics[number]] += count
                else:
                    self.strays += count
            ((first_ns, last_ns),) = self._database.execute('SELECT min(timestamp), max(timestamp) FROM messages')
            self.span_ns = None if first_ns is None else (first_ns, last_ns)
        except BaseException:
            self._database.close()
            raise

    def messages(self, wanted: Collection[PartTopic]) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes, in the order of recording."""
        numbers = [number for number, topic in self._topics.items() if topic in wanted]
        places = ','.join('?' * len(numbers))
        query = f'SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({places}) ORDER BY timestamp'  # noqa: S608, question marks
        for number, recorded_ns, data in self._database.execute(query, numbers):
            if isinstance(data, bytes) and isinstance(recorded_ns, int):
                yield self._topics[number], recorded_ns, data

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class Db3Scan(Scan):
    """A `.db3` file that was cut short."""

    def declared(self) -> Collection[PartTopic]:
        """Every topic that the last `records()` came across."""
        return list(self._topics.values())

    def records(self) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes, in the order of recording."""
        self._topics: dict[int, PartTopic] = {}
        self.problem, self.strays = '', 0
        readable = 0
        try:
            with closing(_open(self.path, whole_pages=True)) as database:
                self._topics = _topics(database)
                rows = database.execute('SELECT topic_id, timestamp, data FROM messages ORDER BY id')
                for number, recorded_ns, data in rows:
                    if number in self._topics and isinstance(data, bytes) and isinstance(recorded_ns, int):
                        yield self._topics[number], recorded_ns, data
                        readable += 1
                    else:
                        self.strays += 1
        except (apsw.Error, ReaderError, OSError, UnicodeDecodeError, TypeError) as error:
            self.problem = f'cut short or damaged after row {readable} ({error})'


class _WholePagesFile(apsw.VFSFile):
    """A database file that ends with its last whole page."""

    def xFileSize(self) -> int:  # noqa: N802, the name is sqlite's
        """Bytes of the whole pages."""
        size = super().xFileSize()
        page_bytes = int.from_bytes(super().xRead(2, _PAGE_SIZE_AT), 'big') if size > _PAGE_SIZE_AT + 2 else 0
        # The header has two bytes for it, in which 65536 is 1.
        page_bytes = 1 << 16 if page_bytes == 1 else page_bytes
        return size - size % page_bytes if page_bytes else size


class _WholePages(apsw.VFS):
    """The file system of the machine, of whose database files only whole pages are seen."""

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open a file as sqlite asks."""
        return _WholePagesFile('', name, flags)


@lru_cache(maxsize=1)
def _file_system() -> _WholePages:
    """Registered once, and kept for as long as the process."""
    return _WholePages(_FILE_SYSTEM, '')


def _open(path: Path, whole_pages: bool = False) -> apsw.Connection:
    # Immutable: no lock and no journal is looked for, so that a bag on a read-only disk opens too.
    address = f'file:{quote(str(path.absolute()))}?immutable=1'
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    if not whole_pages:
        return apsw.Connection(address, flags=flags)
    _file_system()
    database = apsw.Connection(address, flags=flags, vfs=_FILE_SYSTEM)
    # Else sqlite refuses every file that is shorter than its header says.
    database.execute('PRAGMA writable_schema=ON')
    return database


def _topics(database: apsw.Connection) -> dict[int, PartTopic]:
    """Topics by their ids; bags before Iron have no types in them, those before Foxy no QoS."""
    columns = {row[1] for row in database.execute('PRAGMA table_info(topics)')}
    optional = [
        name if name in columns else f"'' AS {name}" for name in ('offered_qos_profiles', 'type_description_hash')
    ]
    definitions = _definitions(database)
    words = ', '.join(['id, name, type, serialization_format', *optional])
    rows = database.execute(f'SELECT {words} FROM topics')  # noqa: S608, our own words
    return {
        number: PartTopic(
            name, msgtype, definitions.get(msgtype, _NOTHING), digest, tuple(parse_qos(profiles)), serialization
        )
        for number, name, msgtype, serialization, profiles, digest in rows
    }


def _definitions(database: apsw.Connection) -> dict[str, MessageDefinition]:
    if not list(database.execute('PRAGMA table_info(message_definitions)')):
        return {}
    rows = database.execute('SELECT topic_type, encoding, encoded_message_definition FROM message_definitions')
    return {
        name: MessageDefinition(_FORMATS.get(encoding, MessageDefinitionFormat.NONE), text)
        for name, encoding, text in rows
    }
