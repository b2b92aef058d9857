# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag that was cut short, or lost its metadata.yaml: all of them before the damage.

Reads the storage files themselves, from the front, since what a recorder writes last (index, summary, metadata) is what
a killed one leaves out. `BagReader(path, salvage=True)` comes here when the bag does not open otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2

from cast_ros.errors import BagError
from cast_ros.offline.bags.storage import PartTopic, StoragePart, storage_files

# rosbag2 can compress each message; serialized ones never begin like this.
_ZSTD_START = b'\x28\xb5\x2f\xfd'


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file of a bag, and what was salvaged of it.

    Attributes:
        file: the storage file, or the folder of the bag.
        reason: what is wrong.
        messages: that can be read all the same.
    """

    file: Path
    reason: str
    messages: int

    def __str__(self) -> str:
        return f'{self.file.name}: {self.reason}; {self.messages} messages can be read'


class SalvagedBag:
    """What is left of a bag, with the part of rosbags' Reader that BagReader needs.

    Args:
        path: a folder, or one `.mcap` or `.db3` file.
        problem: why it does not open as a whole bag.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self._path, self._problem = path, ' '.join(problem.split()).rstrip('.')
        self._parts: list[tuple[Path, StoragePart]] = []
        self.connections: list[Connection] = []
        self.damages: tuple[Damage, ...] = ()
        self.start_time, self.duration, self.message_count = 0, 0, 0
        self.compression_mode: str | None = None

    def open(self) -> None:
        """Read everything once, to know topics, counts and damages.

        Raises:
            BagError: not one message can be read.
        """
        self._parts = [(file, _open_part(file)) for file in storage_files(self._path)]
        counts: dict[PartTopic, int] = {}
        stamps: list[int] = []
        damages: list[Damage] = []
        for file, part in self._parts:
            readable = 0
            for topic, recorded_ns, _ in part.messages():
                counts[topic] = counts.get(topic, 0) + 1
                stamps = [min([*stamps[:1], recorded_ns]), max([*stamps[1:], recorded_ns])]
                readable += 1
            counts.update({topic: 0 for topic in part.topics if topic not in counts})
            if part.problem:
                damages.append(Damage(file, part.problem, readable))
        self.message_count = sum(counts.values())
        if not self.message_count:
            raise BagError(f'{self._path} cannot be read as a bag: {self._problem}; not one message can be salvaged')
        if not damages:
            damages = [Damage(self._path, self._problem, self.message_count)]
        self.damages = tuple(damages)
        self.start_time, self.duration = stamps[0], stamps[1] - stamps[0] + 1
        self.connections = [self._connection(*entry) for entry in enumerate(counts.items(), start=1)]

    def close(self) -> None:
        """Files are open only while messages are read."""

    def messages(self, connections: Collection[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, nanoseconds of recording and bytes, file after file."""
        wanted = {connection.id for connection in connections}
        by_topic = {_key(connection): connection for connection in self.connections if connection.id in wanted}
        for _, part in self._parts:
            for topic, recorded_ns, data in part.messages():
                connection = by_topic.get(topic)
                if connection is not None:
                    yield connection, recorded_ns, _decompressed(data)

    def _connection(self, number: int, counted: tuple[PartTopic, int]) -> Connection:
        topic, count = counted
        ext = ConnectionExtRosbag2('cdr', list(topic.qos))
        return Connection(number, topic.name, topic.msgtype, topic.definition, topic.digest, count, ext, self)


def _open_part(file: Path) -> StoragePart:
    # Where nothing is damaged, nobody needs the libraries of the two.
    if file.suffix == '.mcap':
        from cast_ros.offline.bags.salvage_mcap import McapPart

        return McapPart(file)
    from cast_ros.offline.bags.salvage_db3 import Db3Part

    return Db3Part(file)


def _key(connection: Connection) -> PartTopic:
    assert isinstance(connection.ext, ConnectionExtRosbag2)
    profiles = tuple(connection.ext.offered_qos_profiles)
    return PartTopic(connection.topic, connection.msgtype, connection.msgdef, connection.digest, profiles)


def _decompressed(data: bytes) -> bytes:
    if not data.startswith(_ZSTD_START):
        return data
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except zstandard.ZstdError:
        return data  # whoever decodes it is told that this message is damaged
