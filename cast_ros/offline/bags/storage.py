# SPDX-License-Identifier: Apache-2.0
"""The storage files of a bag: which there are, of which kind, how compressed, and what a reader of one must offer."""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from rosbags.interfaces import MessageDefinition, Qos

from cast_ros.errors import BagError

STORAGE_SUFFIXES = ('.mcap', '.db3')
MCAP_MAGIC = b'\x89MCAP0\r\n'
# Of an MCAP record: opcode and length of what follows.
RECORD_PREFIX = struct.Struct('<BQ')
# Of an MCAP chunk: times of the first and last message, size when decompressed, checksum of that, length of the
# compression's name.
CHUNK_HEAD = struct.Struct('<QQQII')
_CHUNK = 0x06
_LONGEST_NAME = 32
_NUMBER, _DIGITS = re.compile(r'\d+'), 20


def storage_files(path: Path) -> list[Path]:
    """The `.mcap` and `.db3` files of a bag in the order of recording: name_2 before name_10."""
    if not path.is_dir():
        return [path]
    files = [entry for entry in path.iterdir() if entry.suffix in STORAGE_SUFFIXES and entry.is_file()]
    return sorted(files, key=natural_order)


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


class StoragePart(Protocol):
    """One storage file, read from its beginning to where it stops making sense."""

    @property
    def problem(self) -> str:
        """What ended or marred the last `messages()`; empty if nothing did."""

    @property
    def topics(self) -> Collection[PartTopic]:
        """Every topic that the last `messages()` came across."""

    def messages(self) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes, in the order of the file; never raises for damage."""
