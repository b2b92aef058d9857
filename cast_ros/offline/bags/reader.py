# SPDX-License-Identifier: Apache-2.0
"""Reads bags: MCAP or sqlite3, a folder or a bare storage file, compressed or not; damaged ones if asked."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.serde import SerdeError

from cast_ros.errors import BagError
from cast_ros.offline.bags.definitions import TopicDefinition, definitions_of, knows, store_with_types_of
from cast_ros.offline.bags.message_types import typestore
from cast_ros.offline.bags.salvage import Damage, SalvagedBag
from cast_ros.offline.bags.storage import chunk_compression, storage_files, storage_of

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
        salvage: also read a bag that was cut short, and a folder without metadata.yaml: `messages` and `raw_messages`
            then end where the damage begins, in the order of the file, and `damages` says what is wrong.

    Raises:
        BagError: nothing there, not a bag, or cut short; with `salvage`, not even one message can be read.
    """

    def __init__(self, path: str | Path, salvage: bool = False) -> None:
        self.path = Path(path)
        self._salvage = salvage
        self._late_damage: Damage | None = None
        self._reader: Reader | SalvagedBag
        with _explained(self.path):
            self._reader = self._whole_or_salvaged()
        self._store = typestore()

    def _whole_or_salvaged(self) -> Reader | SalvagedBag:
        if not self.path.exists():
            raise BagError(f'{self.path} does not exist')
        if not self.path.is_dir() or (self.path / 'metadata.yaml').exists():
            return Reader(self.path)
        parts = [file.name for file in storage_files(self.path)]
        if self._salvage and parts:
            return SalvagedBag(self.path, 'there is no metadata.yaml')
        hint = f'; open one of its files instead: {", ".join(parts)}' if parts else ''
        raise BagError(f'{self.path} is a folder without metadata.yaml, so it is not a whole bag{hint}')

    def __enter__(self) -> Self:
        try:
            with _explained(self.path):
                self._reader.open()
        except BagError as error:
            if not self._salvage or isinstance(self._reader, SalvagedBag):
                raise
            bag = SalvagedBag(self.path, str(error.__cause__ or error))
            with _explained(self.path):
                bag.open()
            self._reader = bag
        self._store = store_with_types_of(self._reader.connections)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What is wrong with the storage of a salvaged bag; empty for a whole one.

        Damage behind a good index is only met, and then told here, while messages are read.
        """
        found = self._reader.damages if isinstance(self._reader, SalvagedBag) else ()
        return found if self._late_damage is None else (*found, self._late_damage)

    @property
    def storage(self) -> Literal['mcap', 'sqlite3']:
        """The kind of the storage files."""
        return storage_of(self.path)

    @property
    def compression(self) -> str:
        """How the bag is compressed, such as ``zstd (chunk)``; ``none`` if it is not."""
        if self._reader.compression_mode:
            return f'zstd ({self._reader.compression_mode})'
        names = [chunk_compression(file) for file in storage_files(self.path)] if self.storage == 'mcap' else []
        return ', '.join(f'{name} (chunk)' for name in dict.fromkeys(names) if name) or 'none'

    @property
    def start_ns(self) -> int:
        """When the first message was recorded; 0 without one."""
        return self._reader.start_time if self._reader.message_count else 0

    @property
    def duration_ns(self) -> int:
        """From the first message to the last, in nanoseconds of recording time."""
        return max(0, self._reader.duration - 1)

    def topics(self) -> dict[str, TopicSummary]:
        """Every topic by name, also those without a message."""
        counts: dict[str, int] = {}
        for connection in self._reader.connections:
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
        return {
            name: TopicSummary(name, entry.msgtype, counts[name], entry.latched)
            for name, entry in self.definitions().items()
        }

    def definitions(self) -> dict[str, TopicDefinition]:
        """Every topic as it was declared, by name; what `BagWriter.declare` takes."""
        return definitions_of(self._reader.connections, self._store)

    def knows(self, msgtype: str) -> bool:
        """Whether messages of this type can be decoded."""
        return knows(self._store, msgtype)

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
        if not self.knows(raw.msgtype):
            raise BagError(
                f"{self.path}: the type {raw.msgtype} of topic '{raw.topic}' is unknown and not defined in the bag"
            )
        try:
            return self._store.deserialize_cdr(raw.data, raw.msgtype)
        except (SerdeError, AssertionError, ValueError, IndexError, struct.error) as error:
            raise BagError(
                f"{self.path}: the message on '{raw.topic}' recorded at {raw.recorded_ns} ns is damaged"
            ) from error

    def raw_messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Serialized messages of these topics (default: all), in order of recording.

        Raises:
            BagError: a topic is not in the bag; or the storage is damaged, and salvage was not asked for.
        """
        connections = self._connections(topics)
        if not connections:
            return
        messages = self._reader.messages(connections)
        for count in itertools.count():
            try:
                with _explained(self.path):
                    entry = next(messages, None)
            except BagError as error:
                if not self._salvage:
                    raise
                self._late_damage = Damage(self.path, f'its index is whole, but {error.__cause__ or error}', count)
                return
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
