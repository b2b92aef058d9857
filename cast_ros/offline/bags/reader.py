# SPDX-License-Identifier: Apache-2.0
"""Reads bags: MCAP or sqlite3, a folder or a bare storage file, compressed or not; damaged ones if asked."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rosbags.serde import SerdeError
from rosbags.typesys.store import Typestore

from cast_ros.errors import BagError
from cast_ros.offline.bags.contents import BagContents
from cast_ros.offline.bags.definitions import TopicDefinition, can_interpret, definitions_of, knows, own_store
from cast_ros.offline.bags.message_types import typestore
from cast_ros.offline.bags.metadata import METADATA
from cast_ros.offline.bags.storage import Damage, PartTopic, chunk_compression, storage_files, storage_of

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
        self._contents: BagContents | None = None
        self._topics: list[PartTopic] = []
        self._definitions: dict[str, TopicDefinition] = {}
        self._stores: dict[str, list[Typestore]] = {}
        self._is_defined: dict[str, bool] = {}
        if not self.path.exists():
            raise BagError(f'{self.path} does not exist')
        if self.path.is_dir() and not (self.path / METADATA).exists():
            parts = [file.name for file in storage_files(self.path)]
            if not salvage or not parts:
                hint = f'; open one of its files instead: {", ".join(parts)}' if parts else ''
                raise BagError(f'{self.path} is a folder without {METADATA}, so it is not a whole bag{hint}')

    def __enter__(self) -> Self:
        self._contents = BagContents(self.path, self._salvage)
        self._topics = self._contents.topics
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    @property
    def _opened(self) -> BagContents:
        assert self._contents is not None, 'use a BagReader in a with statement'
        return self._contents

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What is wrong with the files of the bag; empty for a whole one.

        Damage behind a good index is only met, and then told here, while messages are read. Where metadata.yaml, the
        index and the reading do not say the same number of messages, all three are told, also without salvage.
        """
        return self._opened.damages

    @property
    def storage(self) -> Literal['mcap', 'sqlite3']:
        """The kind of the storage files."""
        return storage_of(self.path)

    @property
    def compression(self) -> str:
        """How the bag is compressed, such as ``zstd (chunk)``; ``none`` if it is not."""
        if self._opened.packed:
            return f'zstd ({self._opened.packed})'
        names = [chunk_compression(file) for file in storage_files(self.path)] if self.storage == 'mcap' else []
        return ', '.join(f'{name} (chunk)' for name in dict.fromkeys(names) if name) or 'none'

    @property
    def start_ns(self) -> int:
        """When the first message was recorded; 0 without one."""
        return (self._opened.span_ns or (0, 0))[0]

    @property
    def duration_ns(self) -> int:
        """From the first message to the last, in nanoseconds of recording time."""
        first_ns, last_ns = self._opened.span_ns or (0, 0)
        return last_ns - first_ns

    def topics(self) -> dict[str, TopicSummary]:
        """Every topic by name, also those without a message; the counts are those of the storage files."""
        counts = self._opened.counts
        return {
            name: TopicSummary(name, entry.msgtype, counts.get(name, 0), entry.latched)
            for name, entry in self.definitions().items()
        }

    def definitions(self) -> dict[str, TopicDefinition]:
        """Every topic as it was declared, by name; what `BagWriter.declare` takes."""
        if not self._definitions:
            self._definitions = definitions_of(self._topics)
        return self._definitions

    def knows(self, msgtype: str) -> bool:
        """Whether messages of this type can be decoded."""
        return bool(self._stores_of(msgtype))

    def _stores_of(self, msgtype: str) -> list[Typestore]:
        """What may decode a type: the bag's own definitions of it, and ours only where it has none."""
        if msgtype not in self._stores:
            topics = [topic for topic in self._topics if topic.msgtype == msgtype]
            own = [own_store(msgtype, topic.definition) for topic in topics]
            found = [store for store in dict.fromkeys(own) if store is not None]
            self._is_defined[msgtype] = bool(found)
            if not found and knows(typestore(), msgtype):
                found = [typestore()]
            self._stores[msgtype] = [store for store in found if can_interpret(store, msgtype)]
        return self._stores[msgtype]

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
        stores = self._stores_of(raw.msgtype)
        if not stores:
            raise BagError(
                f"{self.path}: the type {raw.msgtype} of topic '{raw.topic}' is unknown and not defined in the bag, or "
                'without fields that are needed here'
            )
        for number, store in enumerate(stores, start=1):
            try:
                return store.deserialize_cdr(raw.data, raw.msgtype)
            except (SerdeError, AssertionError, ValueError, IndexError, struct.error) as error:
                if number == len(stores):
                    other = '' if self._is_defined[raw.msgtype] else ', or of a definition that the bag does not bring'
                    raise BagError(
                        f"{self.path}: the message on '{raw.topic}' recorded at {raw.recorded_ns} ns is damaged{other}"
                    ) from error
        raise AssertionError('one of the stores has returned or raised')

    def is_damaged(self, raw: RawMessage) -> bool:
        """Whether these bytes are no message by their own definition, so that nobody can ever decode them.

        Where the bag does not define the type, ours must at least decode another of its messages: it may be of
        another version of ROS.
        """
        if not self.knows(raw.msgtype) or self._decodes(raw):
            return False
        if not self._is_defined[raw.msgtype]:
            with BagReader(self.path, self._salvage) as again:
                names = [topic.name for topic in self._topics if topic.msgtype == raw.msgtype]
                self._is_defined[raw.msgtype] = any(map(again._decodes, again.raw_messages(names)))
        return self._is_defined[raw.msgtype]

    def _decodes(self, raw: RawMessage) -> bool:
        try:
            self.decode(raw)
        except BagError:
            return False
        return True

    def raw_messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Serialized messages of these topics (default: all), in order of recording.

        Raises:
            BagError: a topic is not in the bag; or the storage is damaged, and salvage was not asked for.
        """
        present = self.topics()
        for name in topics or ():
            if name in self._opened.foreign:
                raise BagError(
                    f"{self.path}: '{name}' is serialized as {self._opened.foreign[name]}, and only cdr is read here"
                )
            if name not in present:
                listing = ', '.join(
                    f'{entry.name} ({entry.msgtype}, {entry.message_count})' for entry in present.values()
                )
                raise BagError(f"{self.path} has no topic '{name}'; it has: {listing or 'none at all'}")
        for topic, recorded_ns, data in self._opened.messages(present if topics is None else topics):
            yield RawMessage(topic.name, topic.msgtype, recorded_ns, data)
