# SPDX-License-Identifier: Apache-2.0
"""Puts one fault into a copy of a bag."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader
from cast_ros.offline.bags.message_types import PICTURE_TYPES
from cast_ros.offline.bags.tools.draft import Draft
from cast_ros.offline.bags.tools.faults import FAULTS


def corrupt_bag(path: Path, out: Path, fault: str, topic: str | None = None, seed: int = 0) -> None:
    """Write a copy of a bag with one fault in it; the bag itself stays as it is.

    Args:
        path: a whole bag, small enough for the memory.
        out: a new folder, or a new `.mcap` or `.db3` file.
        fault: a key of FAULTS.
        topic: of the pictures that are spoilt; None for the first one outside the ground truth.
        seed: decides where.

    Raises:
        BagError: the fault is unknown, the bag cannot be read or has nothing to spoil, or ``out`` exists.
    """
    if fault not in FAULTS:
        raise BagError(f"there is no fault '{fault}'; there are: {', '.join(FAULTS)}")
    if out.exists():
        raise BagError(f'{out} exists already and is not overwritten; choose another name or remove it')
    entry = FAULTS[fault]
    draft = Draft.read(path, _picture_topic(path, topic), seed)
    if not draft.messages:
        raise BagError(f'{path} has no message that could be spoilt')
    if entry.edit is not None:
        entry.edit(draft)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Under its name there is never a copy that has no fault yet.
        with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as folder:
            copy = Path(folder) / out.name
            draft.write(copy)
            if entry.damage is not None:
                entry.damage(copy, random.Random(seed))  # noqa: S311, a place in a file, no secret
            copy.replace(out)
    except OSError as error:
        raise BagError(f'{out} cannot be written: {error}') from error


def _picture_topic(path: Path, asked: str | None) -> str | None:
    with BagReader(path) as reader:
        pictures = [
            entry.name
            for entry in reader.topics().values()
            if entry.msgtype in PICTURE_TYPES and entry.message_count and not entry.name.startswith('/ground_truth/')
        ]
        if asked is not None and asked not in pictures:
            raise BagError(f"{path} has no pictures on '{asked}'; it has them on: {', '.join(pictures) or 'no topic'}")
    return asked or next(iter(pictures), None)
