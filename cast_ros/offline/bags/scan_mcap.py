# SPDX-License-Identifier: Apache-2.0
"""The records of an MCAP file from its beginning to where it stops making sense.

rosbags starts from the summary at the end, which a file that was cut short has not. `mcap` can read record after
record, but gives up on the chunk in which the file ends; what of that chunk is there decompresses all the same.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from io import BytesIO
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Message, Schema
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.metadata import parse_qos

from cast_ros.offline.bags.storage import CHUNK_HEAD, MCAP_MAGIC, RECORD_PREFIX, PartTopic, Scan

MAX_PARTIAL_BYTES = 1 << 28
_FORMATS = {
    'ros2msg': MessageDefinitionFormat.MSG,
    'ros2idl': MessageDefinitionFormat.IDL,
    'omgidl': MessageDefinitionFormat.IDL,
}
_NO_SCHEMA = Schema(id=0, data=b'', encoding='', name='__schemaless__')
_UNREADABLE = (McapError, ReaderError, struct.error, ValueError, KeyError, IndexError, TypeError, EOFError)


class McapScan(Scan):
    """One `.mcap` file."""

    def declared(self) -> Collection[PartTopic]:
        """Every topic that the last `records()` came across."""
        return list(self._channels.values())

    def records(self) -> Iterator[tuple[PartTopic, int, bytes]]:
        """Topic, nanoseconds of recording and bytes, in the order of the file."""
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, PartTopic] = {}
        self.problem, self.strays = '', 0
        try:
            with self.path.open('rb') as file:
                yield from self._file_messages(file, self.path.stat().st_size)
        except OSError as error:
            self._note(f'cannot be read further ({error})')

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem

    def _file_messages(self, file: BinaryIO, size: int) -> Iterator[tuple[PartTopic, int, bytes]]:
        if file.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
            self._note('does not begin as MCAP does')
            return
        while True:
            at = file.tell()
            prefix = file.read(RECORD_PREFIX.size)
            if len(prefix) < RECORD_PREFIX.size:
                break
            opcode, length = RECORD_PREFIX.unpack(prefix)
            whole = at + RECORD_PREFIX.size + length <= size
            # A length that is nonsense shall not fill the memory with the rest of the file.
            content = file.read(length if whole else min(length, MAX_PARTIAL_BYTES))
            if opcode == Opcode.CHUNK:
                yield from self._chunk_messages(content, at)
            elif whole:
                yield from self._record_message(opcode, content, at)
            if not whole:
                self._note(f'cut short within the record at byte {at} of {size}')
                return
            if opcode == Opcode.FOOTER:
                if file.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
                    break
                return
        self._note(f'cut short at byte {at} of {size}: the end of the file is missing')

    def _chunk_messages(self, content: bytes, at: int) -> Iterator[tuple[PartTopic, int, bytes]]:
        try:
            records = self._decompressed(content, at)
        except (*_UNREADABLE, zstandard.ZstdError, RuntimeError) as error:
            self._note(f'the chunk at byte {at} does not decompress ({error})')
            return
        position = 0
        while position + RECORD_PREFIX.size <= len(records):
            opcode, length = RECORD_PREFIX.unpack_from(records, position)
            begin = position + RECORD_PREFIX.size
            position = begin + length
            if position <= len(records):
                yield from self._record_message(opcode, records[begin:position], at)

    def _decompressed(self, content: bytes, at: int) -> bytes:
        """All of a chunk, or as much of it as there is."""
        *_, size, checksum, name_length = CHUNK_HEAD.unpack_from(content)
        begin = CHUNK_HEAD.size + name_length
        name = content[CHUNK_HEAD.size : begin].decode()
        (length,) = struct.unpack_from('<Q', content, begin)
        packed = content[begin + 8 : begin + 8 + length]
        if name == 'zstd':
            records = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        elif name == 'lz4':
            records = lz4.frame.LZ4FrameDecompressor().decompress(packed)
        elif name == '':
            records = packed
        else:
            raise ValueError(f'compression {name!r} is not known')
        if len(packed) == length and (len(records) != size or (checksum and zlib.crc32(records) != checksum)):
            self._note(f'the chunk at byte {at} is damaged: its size or checksum is wrong')
            # Later messages could begin anywhere.
            return b''
        return bytes(records)

    def _record_message(self, opcode: int, content: bytes, at: int) -> Iterator[tuple[PartTopic, int, bytes]]:
        try:
            stream = ReadDataStream(BytesIO(content))
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(stream)
                self._schemas[schema.id] = schema
            elif opcode == Opcode.CHANNEL:
                channel = Channel.read(stream)
                self._channels[channel.id] = self._topic_of(channel)
            elif opcode == Opcode.MESSAGE:
                message = Message.read(stream, len(content))
                if message.channel_id not in self._channels:
                    self.strays += 1
                else:
                    yield self._channels[message.channel_id], message.log_time, message.data
        except _UNREADABLE as error:
            self._note(f'the record at byte {at} is damaged ({error})')

    def _topic_of(self, channel: Channel) -> PartTopic:
        # A channel of another serialization may have no schema, or one that is no text.
        schema = self._schemas.get(channel.schema_id, _NO_SCHEMA)
        kind = _FORMATS.get(schema.encoding, MessageDefinitionFormat.NONE)
        text = '' if kind == MessageDefinitionFormat.NONE else schema.data.decode()
        profiles = tuple(parse_qos(channel.metadata.get('offered_qos_profiles', '')))
        return PartTopic(
            channel.topic, schema.name, MessageDefinition(kind, text), '', profiles, channel.message_encoding
        )
