# SPDX-License-Identifier: Apache-2.0
"""Storage files as they can be read: unpacked, and with what sqlite3 left beside them, on private copies.

The files of the bag itself are never written to.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import zstandard

from cast_ros.errors import BagError
from cast_ros.offline.bags.storage import JOURNAL_SUFFIX, PACKED_SUFFIX, WAL_SUFFIX, plain_name, side_files

_BLOCK_BYTES = 1 << 20
# Of a write-ahead log: its header, in it the size of a page and the salt; the header of each frame, in it the salt.
_WAL_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_PAGE_SIZE, _SALT, _FRAME_SALT = slice(8, 12), slice(16, 24), slice(8, 16)
# How a journal begins; one that was finished may begin with zeros.
_JOURNAL_START = b'\xd9\xd5\x05\xf9\x20\xa1\x63\xd7'
# How a message begins that was compressed by zstd; a serialized one never does.
_ZSTD_START = b'\x28\xb5\x2f\xfd'


def readable_file(file: Path, private_folder: Callable[[], Path]) -> tuple[Path, str]:
    """A storage file as it can be read.

    Args:
        file: of the bag.
        private_folder: makes an empty one, where a copy is needed.

    Returns:
        The file itself, or the copy; and what could not be unpacked or taken over, '' if nothing.

    Raises:
        BagError: there is no room for the copy.
    """
    beside = side_files(file)
    if not file.name.endswith(PACKED_SUFFIX) and not beside:
        return file, ''
    copy = private_folder() / plain_name(file.name)
    try:
        problems = [_copy_plain(file, copy)]
        if beside:
            for entry in beside:
                shutil.copyfile(entry, copy.with_name(entry.name))
            try:
                problems += _take_over(copy, beside)
            except apsw.Error as error:
                lost = sum(entry.stat().st_size for entry in beside)
                problems.append(f'{lost} bytes of {", ".join(entry.name for entry in beside)} cannot be read ({error})')
                # Whatever became of the copy: the database alone is still there.
                _copy_plain(file, copy)
    except OSError as error:
        raise BagError(f'{file} cannot be copied to {tempfile.gettempdir()} (TMPDIR) to be read: {error}') from error
    return copy, '; '.join(entry for entry in problems if entry)


def is_packed(data: bytes) -> bool:
    """Whether the bytes of a message were compressed one by one."""
    return data.startswith(_ZSTD_START)


def unpacked(data: bytes) -> bytes | None:
    """The message in such bytes; None if they are damaged."""
    engine = zstandard.ZstdDecompressor().decompressobj()
    try:
        message = engine.decompress(data)
    except zstandard.ZstdError:
        return None
    return message if engine.eof else None


def _copy_plain(file: Path, copy: Path) -> str:
    """Copy a file, unpacked as far as can be, and say what is wrong with the rest."""
    if not file.name.endswith(PACKED_SUFFIX):
        shutil.copyfile(file, copy)
        return ''
    engine, begun = zstandard.ZstdDecompressor().decompressobj(), False
    with file.open('rb') as packed, copy.open('wb') as plain:
        try:
            while block := packed.read(_BLOCK_BYTES):
                while block:
                    plain.write(engine.decompress(block))
                    begun, block = not engine.eof, engine.unused_data
                    if engine.eof:
                        engine = zstandard.ZstdDecompressor().decompressobj()
        except zstandard.ZstdError as error:
            return f'it does not decompress to its end ({error})'
    return 'its compressed content is cut short' if begun or not copy.stat().st_size else ''


def _take_over(copy: Path, beside: list[Path]) -> list[str]:
    """Let sqlite3 bring a copy up to date, as it would if the recorder were started again; says what it cannot.

    Raises:
        apsw.Error: it cannot at all.
    """
    wal = next((entry for entry in beside if entry.name.endswith(WAL_SUFFIX)), None)
    journal = next((entry for entry in beside if entry.name.endswith(JOURNAL_SUFFIX)), None)
    frames = 0
    with closing(apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READWRITE)) as database:
        # Reading takes back what a journal says was never finished.
        database.execute('SELECT count(*) FROM sqlite_master').fetchall()
        if wal is not None:
            _, frames, _ = next(database.execute('PRAGMA wal_checkpoint(PASSIVE)'))
    problems = []
    if wal is not None and (lost := _unread_bytes(wal, max(frames, 0))):
        problems.append(f'{lost} of {wal.stat().st_size} bytes of {wal.name} cannot be read')
    if journal is not None and _head(journal, 8) not in (_JOURNAL_START, bytes(8)):
        problems.append(f'{journal.stat().st_size} bytes of {journal.name} cannot be read')
    return problems


def _head(file: Path, length: int) -> bytes:
    with file.open('rb') as content:
        return content.read(length)


def _unread_bytes(wal: Path, frames: int) -> int:
    """Bytes of a write-ahead log behind the frames that were read, but for those of its rounds before."""
    with wal.open('rb') as file:
        header = file.read(_WAL_HEADER_BYTES)
        frame_bytes = _FRAME_HEADER_BYTES + int.from_bytes(header[_PAGE_SIZE], 'big')
        if not frames and (len(header) < _WAL_HEADER_BYTES or header[:3] != b'\x37\x7f\x06'):
            return wal.stat().st_size
        file.seek(_WAL_HEADER_BYTES + frames * frame_bytes)
        lost = 0
        while frame := file.read(frame_bytes):
            if len(frame) >= _FRAME_HEADER_BYTES and frame[_FRAME_SALT] != header[_SALT]:
                break
            lost += len(frame)
        return lost
