# SPDX-License-Identifier: Apache-2.0
"""Writes bags that rosbag2 (Jazzy and later), Foxglove and rosbags open.

A bag appears under its name only when it is whole.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from rosbags.serde import SerdeError

from cast_ros.errors import BagError
from cast_ros.offline.bags.definitions import TopicDefinition
from cast_ros.offline.bags.message_types import typestore

if TYPE_CHECKING:
    from typing_extensions import Self

Storage = Literal['mcap', 'sqlite3']

_PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
_SUFFIXES = {'mcap': '.mcap', 'sqlite3': '.db3'}
# What rosbags lets through when a disk is full or a database is locked.
_REFUSALS = (OSError, WriterError, sqlite3.Error)
# For a type that nobody defines; rosbags asks for a digest, and all zeros is no digest of anything.
_NO_DIGEST = f'RIHS01_{0:064d}'
_FOREVER = QosTime(2147483647, 4294967295)


class BagWriter:
    """A bag being written; use it in a `with` statement. When the block fails, nothing is left behind.

    Args:
        path: a new folder; or a file ending in `.mcap` or `.db3`, which becomes a bare storage file.
        storage: `mcap` (chunks compressed with zstd) or `sqlite3`; ignored when the path's ending says it.

    Raises:
        BagError: something has that name already, or the disk refuses.
    """

    def __init__(self, path: str | Path, storage: Storage = 'mcap') -> None:
        self.path = Path(path)
        if self.path.exists():
            raise BagError(f'{self.path} exists already and is not overwritten; choose another name or remove it')
        by_suffix: dict[str, Storage] = {'.mcap': 'mcap', '.db3': 'sqlite3'}
        self._bare = self.path.suffix in by_suffix
        self._storage: Storage = by_suffix.get(self.path.suffix, storage)
        if self._storage not in _PLUGINS:
            raise BagError(f"bag storage '{storage}' is not known; choose mcap or sqlite3")
        self._workspace: Path | None = None
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # In the same folder, so that the last step is a rename.
            self._workspace = Path(tempfile.mkdtemp(prefix=f'.{self.path.name}.', dir=self.path.parent))
            self._writer = _Writer(self._workspace / self.path.stem, version=9, storage_plugin=_PLUGINS[self._storage])
            if self._storage == 'mcap':
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        except _REFUSALS as error:
            self._clean()
            raise BagError(f'{self.path} cannot be created: {error}') from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
            else:
                self._writer.abort()
        except _REFUSALS as problem:
            raise BagError(f'{self.path} could not be finished: {problem}') from problem
        finally:
            self._clean()

    def add_topic(self, topic: str, msgtype: str, latched: bool = False) -> None:
        """Declares a topic before its first message; needed for latched (transient local) ones and for empty ones.

        Raises:
            BagError: the type is unknown, or the topic has another type already.
        """
        if topic in self._connections:
            known = self._connections[topic].msgtype
            if known != msgtype:
                raise BagError(f"topic '{topic}' is {known}; a {msgtype} cannot be written to it")
            return
        if msgtype not in typestore().types:
            raise BagError(f"message type {msgtype} of topic '{topic}' is not known")
        profile = _profile(latched)
        self._connections[topic] = self._writer.add_connection(
            topic, msgtype, typestore=typestore(), offered_qos_profiles=[profile]
        )

    def declare(self, definition: TopicDefinition) -> None:
        """Declares a topic as another bag has it: the bag's own text of the type, known here or not, and its QoS.

        Raises:
            BagError: the topic is there already.
        """
        if definition.name in self._connections:
            raise BagError(f"topic '{definition.name}' is declared twice")
        known = definition.msgtype in typestore().types and not definition.text
        self._connections[definition.name] = self._writer.add_connection(
            definition.name,
            definition.msgtype,
            typestore=typestore() if known else None,
            msgdef=None if known else definition.text,
            rihs01=None if known else definition.digest or _NO_DIGEST,
            offered_qos_profiles=list(definition.qos),
        )

    def write(self, topic: str, recorded_ns: int, message: Any) -> None:
        """Writes a message built from the classes in `typestore().types`; the topic takes its type.

        Raises:
            BagError: it does not serialize, the type is another one than before, or the disk refuses.
        """
        msgtype: str = message.__msgtype__
        try:
            data = typestore().serialize_cdr(message, msgtype)
        except (SerdeError, AttributeError, TypeError, ValueError, AssertionError) as error:
            raise BagError(f"a {msgtype} for topic '{topic}' does not serialize: {error}") from error
        self.write_raw(topic, msgtype, recorded_ns, bytes(data))

    def write_raw(self, topic: str, msgtype: str, recorded_ns: int, data: bytes) -> None:
        """Writes CDR bytes as they came from a subscription or from another bag."""
        self.add_topic(topic, msgtype)
        try:
            self._writer.write(self._connections[topic], recorded_ns, data)
        except (*_REFUSALS, OverflowError) as error:
            raise BagError(f'{self.path} cannot be written to: {error}') from error

    def _finish(self) -> None:
        self._writer.close()
        folder = self._writer.path
        storage = folder / f'{folder.name}{_SUFFIXES[self._storage]}'
        _sync(storage)
        if self.path.exists():
            raise BagError(f'{self.path} appeared while the bag was written, and is not overwritten')
        (storage if self._bare else folder).replace(self.path)

    def _clean(self) -> None:
        if self._workspace is not None:
            shutil.rmtree(self._workspace, ignore_errors=True)


class _Sqlite3Writer(Sqlite3Writer):
    """Of any path: rosbags makes an address of it, in which `#`, `?` and `%` would mean something."""

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(Path(quote(str(path))), compression)
        self.path = path / f'{path.name}.db3'


class _Writer(Writer):
    STORAGE_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.SQLITE3: _Sqlite3Writer}  # noqa: RUF012, as the base


def _profile(latched: bool) -> Qos:
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def _sync(path: Path) -> None:
    with path.open('rb') as file:
        os.fsync(file.fileno())
