# SPDX-License-Identifier: Apache-2.0
"""Reading a file that should be one self-contained ONNX model, before anything parses it for real."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cast_ros.errors import StudentError

MAX_FILE_BYTES = 1 << 30

# Field numbers of onnx.proto that lead from the model to its tensors.
_CHILDREN: dict[str, dict[int, str]] = {
    'model': {7: 'graph', 20: 'training', 25: 'function'},
    'training': {1: 'graph', 2: 'graph'},
    'function': {7: 'node', 11: 'attribute'},
    'graph': {1: 'node', 5: 'tensor', 15: 'sparse_tensor'},
    'node': {5: 'attribute'},
    'attribute': {5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse_tensor', 23: 'sparse_tensor'},
    'sparse_tensor': {1: 'tensor', 2: 'tensor'},
}
_TENSOR_EXTERNAL_DATA = 13
_TENSOR_DATA_LOCATION = 14
_MAX_DEPTH = 64


@dataclass(frozen=True)
class OnnxFile:
    """The content of a model file, and its digest."""

    path: Path
    content: bytes
    sha256: str


def read_onnx_file(path: Path, what: str = 'student') -> OnnxFile:
    """Read a model file and refuse what is plainly none; `what` it is called in messages.

    Raises:
        StudentError: missing, a directory, unreadable, empty, too large, recognisably something else, or with weights
            in other files.
    """
    content = _read(path, what)
    hint = _what_it_is_instead(content)
    if hint is not None:
        raise StudentError(f'{path}: is not a {what}, it is {hint}')
    try:
        external = _has_external_data(memoryview(content))
    except _MalformedError as error:
        raise StudentError(
            f'{path}: is not an ONNX file, or only a part of one ({error}); copy or export it again'
        ) from error
    if external:
        raise StudentError(
            f'{path}: keeps its weights in other files; a {what} is one file, export it without external data'
        )
    return OnnxFile(path, content, hashlib.sha256(content).hexdigest())


def _read(path: Path, what: str) -> bytes:
    try:
        if path.is_dir():
            raise StudentError(f'{path}: is a directory; name the .onnx file in it')
        if not path.exists():
            raise StudentError(f'{path}: there is no such file; check the path of the {what}')
        if not path.is_file():
            raise StudentError(f'{path}: is not a regular file; name an .onnx file')
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise StudentError(
                f'{path}: has {size / 2**20:.0f} MiB, more than any {what} ({MAX_FILE_BYTES // 2**20} MiB)'
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise StudentError(f'{path}: cannot be read: {error}') from error


def _what_it_is_instead(content: bytes) -> str | None:
    start = content[:512].lstrip().lower()
    if not content:
        return 'an empty file; copy or export it again'
    if start.startswith(b'version https://git-lfs'):
        return 'a pointer of git LFS; fetch the content with `git lfs pull`'
    if start.startswith((b'<!doctype', b'<html', b'<?xml')):
        return 'a web page, probably of a failed download; download the file itself'
    if content.startswith(b'PK\x03\x04'):
        return 'a zip archive, perhaps a PyTorch checkpoint; export it to ONNX with `cast-train export`'
    if content.startswith(b'\x1f\x8b'):
        return 'a gzip archive; unpack it first'
    if _is_text(content[:4096]):
        return 'a text file; name an .onnx file'
    return None


def _is_text(sample: bytes) -> bool:
    """A binary model has control characters in its first bytes; text has none but white space."""
    return all(byte >= 32 or byte in b'\t\n\r\f' for byte in sample)


class _MalformedError(Exception):
    """The bytes do not follow the wire format of protocol buffers."""


def _has_external_data(content: memoryview) -> bool:
    """Whether any tensor points into another file.

    onnxruntime would resolve such a path against the working directory of the process and read whatever lies there.
    """
    pending: list[tuple[str, memoryview, int]] = [('model', content, 0)]
    while pending:
        kind, message, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise _MalformedError('nested too deeply')
        for field, value in _fields(message):
            if kind == 'tensor':
                if field == _TENSOR_EXTERNAL_DATA or (field == _TENSOR_DATA_LOCATION and value != 0):
                    return True
            elif field in _CHILDREN[kind] and isinstance(value, memoryview):
                pending.append((_CHILDREN[kind][field], value, depth + 1))
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Field numbers and values of one message; numbers of fixed width are given as bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        field, wire_type = key >> 3, key & 7
        if field == 0:
            raise _MalformedError(f'field 0 at byte {position}')
        if wire_type == 0:
            value, position = _varint(message, position)
            yield field, value
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise _MalformedError(f'wire type {wire_type} at byte {position}')
        if position + length > len(message):
            raise _MalformedError(f'a field ends beyond byte {len(message)}')
        yield field, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise _MalformedError(f'ends inside a number at byte {position}')
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _MalformedError(f'a number is too long at byte {position}')
