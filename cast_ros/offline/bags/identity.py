# SPDX-License-Identifier: Apache-2.0
"""Which bag it is, wherever it lies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cast_ros.errors import BagError
from cast_ros.offline.bags.storage import files_of

# Of each end of a file: the ends of a storage file hold its header and its index, and a bag may have hundreds of GB.
FINGERPRINT_BYTES = 1 << 20


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
