# SPDX-License-Identifier: Apache-2.0
"""Reads bags: MCAP or sqlite3, a folder with metadata.yaml or a bare storage file, compressed or not."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinitionFormat, QosDurability
from rosbags.rosbag2 import Reader
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from cast_ros.bags.errors import BagError
from cast_ros.bags.message_types import typestore

if TYPE_CHECKING:
    from typing_extensions import Self


class TopicSummary(NamedTuple):
    """What a bag says about one topic; `latched` means that late subscribers were served too (transient local)."""

    name: str
    msgtype: str
    message_count: int
    latched: bool


class BagMessage(NamedTuple):
    """One decoded message; `recorded_ns` is when the recorder got it, not its header stamp."""

    topic: str
    recorded_ns: int
    message: Any


class RawMessage(NamedTuple):
    """One message as it was recorded: CDR bytes, fit to be published as they are."""

    topic: str
    msgtype: str
    recorded_ns: int
    data: bytes


class BagReader:
    """An open bag; use it in a `with` statement.

    Args:
        path: a rosbag2 folder, or one `.mcap` or `.db3` file.

    Raises:
        BagError: nothing there, not a bag, or cut short.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise BagError(f'{self.path} does not exist')
        if self.path.is_dir() and not (self.path / 'metadata.yaml').exists():
            parts = sorted(entry.name for entry in self.path.iterdir() if entry.suffix in ('.mcap', '.db3'))
            hint = f'; open one of its files instead: {", ".join(parts)}' if parts else ''
            raise BagError(f'{self.path} is a folder without metadata.yaml, so it is not a whole bag{hint}')
        with _explained(self.path):
            self._reader = Reader(self.path)
        self._store = typestore()

    def __enter__(self) -> Self:
        with _explained(self.path):
            self._reader.open()
        self._store = _with_types_of(self._reader.connections)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def duration_ns(self) -> int:
        """From the first message to the last, in nanoseconds of recording time."""
        return max(0, self._reader.duration - 1)

    def topics(self) -> dict[str, TopicSummary]:
        """Every topic by name, also those without a message."""
        found: dict[str, TopicSummary] = {}
        for connection in sorted(self._reader.connections, key=lambda entry: entry.topic):
            known = found.get(connection.topic)
            found[connection.topic] = TopicSummary(
                connection.topic,
                connection.msgtype,
                connection.msgcount + (known.message_count if known else 0),
                _is_latched(connection) or (known is not None and known.latched),
            )
        return found

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Decoded messages of these topics (default: all), in order of recording.

        Raises:
            BagError: a topic is not in the bag, its type is unknown, or the bytes are damaged.
        """
        for raw in self.raw_messages(topics):
            yield BagMessage(raw.topic, raw.recorded_ns, self.decode(raw))

    def decode(self, raw: RawMessage) -> Any:
        """The message of these bytes; for who goes on after a damaged one, which `messages` cannot.

        Raises:
            BagError: the type is unknown, or the bytes are damaged.
        """
        try:
            self._store.get_msgdef(raw.msgtype)
        except KeyError as error:
            raise BagError(
                f"{self.path}: the type {raw.msgtype} of topic '{raw.topic}' is unknown and not defined in the bag"
            ) from error
        try:
            return self._store.deserialize_cdr(raw.data, raw.msgtype)
        except (SerdeError, AssertionError, ValueError, IndexError, struct.error) as error:
            raise BagError(
                f"{self.path}: the message on '{raw.topic}' recorded at {raw.recorded_ns} ns is damaged"
            ) from error

    def raw_messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Serialized messages of these topics (default: all), in order of recording."""
        connections = self._connections(topics)
        if not connections:
            return
        messages = self._reader.messages(connections)
        while True:
            with _explained(self.path):
                entry = next(messages, None)
            if entry is None:
                return
            connection, recorded_ns, data = entry
            yield RawMessage(connection.topic, connection.msgtype, recorded_ns, bytes(data))

    def _connections(self, topics: Collection[str] | None) -> list[Connection]:
        if topics is None:
            return list(self._reader.connections)
        present = self.topics()
        for topic in topics:
            if topic not in present:
                listing = ', '.join(
                    f'{entry.name} ({entry.msgtype}, {entry.message_count})' for entry in present.values()
                )
                raise BagError(f"{self.path} has no topic '{topic}'; it has: {listing or 'none at all'}")
        return [connection for connection in self._reader.connections if connection.topic in topics]


def _is_latched(connection: Connection) -> bool:
    profiles = connection.ext.offered_qos_profiles if isinstance(connection.ext, ConnectionExtRosbag2) else []
    return any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in profiles)


def _with_types_of(connections: Collection[Connection]) -> Any:
    """The shared type store, or a copy that also knows the types which only this bag defines."""
    known = typestore()
    foreign = [
        connection
        for connection in connections
        if connection.msgtype not in known.types and connection.msgdef.format == MessageDefinitionFormat.MSG
    ]
    if not foreign:
        return known
    store = get_typestore(Stores.EMPTY)
    store.register(known.fielddefs)
    for connection in foreign:
        try:
            defined = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            store.register({name: fields for name, fields in defined.items() if name not in store.types})
        except TypesysError:
            # Only who asks for this topic needs the type; messages() then says that it is unknown.
            continue
    return store


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns what the storage layers throw at damaged files into a BagError."""
    try:
        yield
    except BagError:
        raise
    except Exception as error:  # rosbags, its parsers and its storages raise a dozen unrelated types for damaged files
        reason = str(error).rstrip('.') or type(error).__name__
        raise BagError(f'{path} cannot be read as a bag: {reason}; it may be cut short or be something else') from error
