# SPDX-License-Identifier: Apache-2.0
"""The storage files of a bag: which there are, of which kind, how compressed, and what a reader of one must offer."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from rosbags.interfaces import MessageDefinition, Qos

from cast_ros.errors import BagError

STORAGE_SUFFIXES = ('.mcap', '.db3')
# Of a file that rosbag2 compressed as a whole.
PACKED_SUFFIX = '.zstd'
# Where sqlite3 keeps what is not in the database yet, or was in it before. (Its -shm is an index of -wal alone.)
WAL_SUFFIX, JOURNAL_SUFFIX = '-wal', '-journal'
MCAP_MAGIC = b'\x89MCAP0\r\n'
# Of an MCAP record: opcode and length of what follows.
RECORD_PREFIX = struct.Struct('<BQ')
# Of an MCAP chunk: times of the first and last message, size when decompressed, checksum of that, length of the
# compression's name.
CHUNK_HEAD = struct.Struct('<QQQII')
_CHUNK = 0x06
_LONGEST_NAME = 32
# Of each end of a file: the ends of a storage file hold its header and its index, and a bag may have hundreds of GB.
FINGERPRINT_BYTES = 1 << 20
_NUMBER, _DIGITS = re.compile(r'\d+'), 20


@dataclass(frozen=True)
class Damage:
    """What is wrong with the files of a bag, and what can be read all the same.

    Attributes:
        file: the storage file, or the folder of the bag.
        reason: what is wrong, with its numbers.
        messages: that can be read all the same.
        kind: what `cast bag check` calls it.
        topic: that it is about; '' for all.
    """

    file: Path
    reason: str
    messages: int
    kind: str = 'truncated'
    topic: str = ''

    def __str__(self) -> str:
        return f'{self.file.name}: {self.reason}; {self.messages} messages can be read'


_FOREIGN = {
    b'#ROSBAG V': 'a bag of ROS 1: make one of ROS 2 of it by `rosbags-convert --src FILE.bag --dst FOLDER`, which '
    'comes with the extra offline',
    b'version https://git-lfs': 'a pointer of git LFS, not the file: `git lfs pull` fetches it',
    b'<!DOCTYPE html': 'a web page, probably of a failed download: download the file itself',
}


def refuse_foreign(file: Path) -> None:
    """Raises BagError for a file that begins as something that people take for a bag, with what to do about it."""
    try:
        with file.open('rb') as content:
            start = content.read(64)
    except OSError:
        return  # told with its reason by whoever reads it
    for mark, what in _FOREIGN.items():
        if start.startswith(mark):
            raise BagError(f'{file} is {what}')


def plain_name(name: str) -> str:
    """The name of a storage file without the ending of its compression."""
    return name.removesuffix(PACKED_SUFFIX)


def is_storage_file(path: Path) -> bool:
    """Whether a file has the name of a storage file, packed or not."""
    return plain_name(path.name).endswith(STORAGE_SUFFIXES) and path.is_file()


def storage_files(path: Path) -> list[Path]:
    """The storage files of a bag in the order of recording: name_2 before name_10.

    Of a file that is there packed as well, since packing it was interrupted, the plain one alone.
    """
    if not path.is_dir():
        return [path]
    files = sorted((entry for entry in path.iterdir() if is_storage_file(entry)), reverse=True)
    by_name = {plain_name(file.name): file for file in files}
    return sorted(by_name.values(), key=natural_order)


def side_files(file: Path) -> list[Path]:
    """What sqlite3 left beside a database of its content: a write-ahead log, or a journal; empty ones are none."""
    beside = [file.with_name(plain_name(file.name) + suffix) for suffix in (WAL_SUFFIX, JOURNAL_SUFFIX)]
    return [entry for entry in beside if entry.is_file() and entry.stat().st_size]


def files_of(path: Path) -> list[Path]:
    """All files of a bag: what lies in its folder, or a storage file with what lies beside it."""
    return sorted(entry for entry in path.rglob('*') if entry.is_file()) if path.is_dir() else [path, *side_files(path)]


def natural_order(file: Path) -> str:
    """A key that sorts files by the numbers in their names: name_2 before name_10."""
    return _NUMBER.sub(lambda match: match[0].zfill(_DIGITS), file.name)


def storage_of(path: Path) -> Literal['mcap', 'sqlite3']:
    """Which kind of storage a bag has, by the names of its files; whole files may be compressed."""
    names = [entry.name for entry in path.iterdir()] if path.is_dir() else [path.name]
    return 'sqlite3' if any('.db3' in name for name in names) else 'mcap'


def chunk_compression(file: Path) -> str:
    """How the first chunk of an MCAP file is compressed; empty if it is not, or there is none.

    Raises:
        BagError: the file cannot be read.
    """
    try:
        with file.open('rb') as content:
            position, size = len(MCAP_MAGIC), file.stat().st_size
            if content.read(position) != MCAP_MAGIC:
                return ''
            while position + RECORD_PREFIX.size + CHUNK_HEAD.size <= size:
                content.seek(position)
                opcode, length = RECORD_PREFIX.unpack(content.read(RECORD_PREFIX.size))
                if opcode == _CHUNK:
                    name_length = CHUNK_HEAD.unpack(content.read(CHUNK_HEAD.size))[-1]
                    return content.read(min(name_length, _LONGEST_NAME)).decode(errors='replace')
                position += RECORD_PREFIX.size + length
    except OSError as error:
        raise BagError(f'{file} cannot be read: {error}') from error
    return ''


class PartTopic(NamedTuple):
    """A topic as one storage file declares it; hashable fields alone."""

    name: str
    msgtype: str
    definition: MessageDefinition
    digest: str
    qos: tuple[Qos, ...]
    serialization: str = 'cdr'


class StoragePart(Protocol):
    """One storage file that is open.

    Attributes:
        strays: messages of no topic.
        span_ns: times of recording of the first message and the last; None without a message.
        problem: what ended or marred the reading; empty if nothing did.
    """

    strays: int
    span_ns: tuple[int, int] | None
    problem: str

    @property
    def counts(self) -> Mapping[PartTopic, int]:
        """Messages of every topic, before they are read."""

    def messages(self, wanted: Collection[PartTopic]) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes."""

    def close(self) -> None:
        """Close the file."""


class Scan(ABC):
    """A storage file read from its beginning to where it stops making sense, since its index is missing or wrong.

    What a recorder writes last (index, summary) is what a killed one leaves out. The file is read once to know what
    is in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ''
        self.strays = 0
        self.span_ns: tuple[int, int] | None = None
        self.counts: Counter[PartTopic] = Counter()
        for topic, recorded_ns, _ in self.records():
            self.counts[topic] += 1
            first_ns, last_ns = self.span_ns or (recorded_ns, recorded_ns)
            self.span_ns = min(first_ns, recorded_ns), max(last_ns, recorded_ns)
        self.counts.update(dict.fromkeys(self.declared(), 0))

    @abstractmethod
    def records(self) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes, in the order of the file; never raises for damage."""

    @abstractmethod
    def declared(self) -> Collection[PartTopic]:
        """Every topic that the last `records()` came across."""

    def messages(self, wanted: Collection[PartTopic]) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Those of the wanted topics."""
        return (entry for entry in self.records() if entry[0] in wanted)

    def close(self) -> None:  # noqa: B027, files are open only while messages are read
        """Nothing to close."""


def fingerprint_of(path: Path) -> tuple[str, int]:
    """SHA-256 over names, sizes and ends of the bag's files, and its size in bytes.

    Raises:
        BagError: a file cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        for file in files_of(path):
            length = file.stat().st_size
            digest.update(f'{file.relative_to(path.parent)} {length}\n'.encode())
            with file.open('rb') as content:
                digest.update(content.read(FINGERPRINT_BYTES))
                if length > FINGERPRINT_BYTES:
                    content.seek(-min(FINGERPRINT_BYTES, length - FINGERPRINT_BYTES), os.SEEK_END)
                    digest.update(content.read(FINGERPRINT_BYTES))
            size += length
    except OSError as error:
        raise BagError(f'{path} cannot be read: {error}') from error
    return digest.hexdigest(), size
