# SPDX-License-Identifier: Apache-2.0
"""A whole `.mcap` file by its index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2
from rosbags.rosbag2.storage_mcap import McapReader

from cast_ros.errors import BagError
from cast_ros.offline.bags.storage import MCAP_MAGIC, RECORD_PREFIX, PartTopic

# Of the profile at the beginning of the file.
_LENGTH_BYTES = 4


class NoIndexError(BagError):
    """Nothing is wrong with a file, but it has to be read to know what is in it."""


class IndexedMcap:
    """A whole `.mcap` file, read by rosbags.

    Raises:
        NoIndexError: its index says too little.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ''
        with path.open('rb') as file:
            head = file.read(len(MCAP_MAGIC) + RECORD_PREFIX.size + _LENGTH_BYTES)
        if len(head) > len(MCAP_MAGIC) and not any(head[-_LENGTH_BYTES:]):
            # As of many tools. Of another world are files that name another one.
            raise NoIndexError('the file does not say that it is of ROS 2')
        self._reader = McapReader(path)
        try:
            self._reader.open()
        except KeyError as error:
            raise NoIndexError(f'it has a schema of the kind {error}, which rosbags does not know') from error
        if self._reader.metadata.message_count and not any(entry.msgcount for entry in self._reader.connections):
            self._reader.close()
            raise NoIndexError('the index has no counts, which a writer may leave out')
        self._topics = {connection.id: _topic_of(connection) for connection in self._reader.connections}
        self.counts: Counter[PartTopic] = Counter(dict.fromkeys(self._topics.values(), 0))
        for connection in self._reader.connections:
            self.counts[self._topics[connection.id]] += connection.msgcount
        whole = self._reader.metadata
        self.strays = whole.message_count - self.counts.total()
        self.span_ns = (whole.start_time, whole.end_time - 1) if whole.message_count else None

    def messages(self, wanted: Collection[PartTopic]) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes, in the order of recording."""
        connections = [entry for entry in self._reader.connections if self._topics[entry.id] in wanted]
        for connection, recorded_ns, data in self._reader.messages(connections) if connections else ():
            yield self._topics[connection.id], recorded_ns, bytes(data)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def _topic_of(connection: Connection) -> PartTopic:
    assert isinstance(connection.ext, ConnectionExtRosbag2)
    return PartTopic(
        connection.topic,
        connection.msgtype,
        connection.msgdef,
        connection.digest,
        tuple(connection.ext.offered_qos_profiles),
        connection.ext.serialization_format,
    )
