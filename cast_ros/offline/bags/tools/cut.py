# SPDX-License-Identifier: Apache-2.0
"""A part of a bag as a bag of its own: messages, types and QoS unchanged."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, BagWriter, Damage
from cast_ros.offline.bags.ground_truth_topics import ABOUT, LABEL_INFO
from cast_ros.offline.bags.message_types import PICTURE_TYPES
from cast_ros.offline.bags.messages import NANOSECONDS

# Larger than any recording is long, smaller than any time of day since 1973.
_FIRST_ABSOLUTE_S = 1e8
# Said once and true for the whole bag, also where a recorder lost their QoS.
_STANDING = frozenset({'/tf_static', ABOUT, LABEL_INFO})


@dataclass(frozen=True)
class CutReport:
    """What a cut wrote.

    Attributes:
        messages: in all.
        carried: of latched topics, from before the cut.
        damages: of the bag that was cut.
        dropped: messages that were left out since their bytes are none of their type.
    """

    messages: int
    carried: int
    damages: tuple[Damage, ...]
    dropped: int = 0


def cut_bag(
    path: Path,
    out: Path,
    begin_s: float | None,
    end_s: float | None,
    topics: Collection[str] | None = None,
    drop_damaged: bool = False,
) -> CutReport:
    """Write the messages that were recorded from ``begin_s`` on and before ``end_s``.

    Seconds count from the start of the bag, or from 1970 if they are above a hundred million; None is the beginning and
    the end. What latched topics said before is carried along, recorded at the beginning of the cut. A damaged
    bag is read up to the damage. With ``drop_damaged`` messages whose bytes are none of their type by the definition in
    the bag are left out; those of a type that nobody knows here, or not in this version, are kept.

    Raises:
        BagError: the bag cannot be read, nothing lies between, a topic is not there, or ``out`` cannot be written.
    """
    with BagReader(path, salvage=True) as reader:
        begin_ns, end_ns = _nanoseconds(begin_s, reader.start_ns), _nanoseconds(end_s, reader.start_ns)
        chosen = _chosen(reader, topics)
        with BagWriter(out) as writer:
            definitions = reader.definitions()
            for name in chosen:
                writer.declare(definitions[name])
            report = _copy(reader, writer, chosen, (begin_ns, end_ns), drop_damaged)
            if report.messages == report.carried:
                last_s = reader.duration_ns / NANOSECONDS
                raise BagError(f'{path} has no message there: it goes from 0 to {last_s:.3f} s; choose --from and --to')
    return report


def _copy(
    reader: BagReader,
    writer: BagWriter,
    chosen: list[str],
    span_ns: tuple[int | None, int | None],
    drop_damaged: bool,
) -> CutReport:
    begin_ns, end_ns = span_ns
    standing = {name for name in chosen if _stands(reader, name)}
    written, carried, dropped = 0, 0, 0
    for raw in reader.raw_messages(chosen):
        if end_ns is not None and raw.recorded_ns >= end_ns:
            continue
        before = begin_ns is not None and raw.recorded_ns < begin_ns
        if before and raw.topic not in standing:
            continue
        if drop_damaged and reader.is_damaged(raw):
            dropped += 1
            continue
        if begin_ns is not None and before:
            raw = raw._replace(recorded_ns=begin_ns)
            carried += 1
        writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, raw.data)
        written += 1
    return CutReport(written, carried, reader.damages, dropped)


def _stands(reader: BagReader, name: str) -> bool:
    """Whether what a topic said before the cut still holds; a driver that latches pictures means the last one alone."""
    entry = reader.topics()[name]
    return name in _STANDING or (entry.latched and entry.msgtype not in PICTURE_TYPES)


def _chosen(reader: BagReader, topics: Collection[str] | None) -> list[str]:
    present = reader.topics()
    if topics is None:
        return list(present)
    for name in topics:
        if name not in present:
            raise BagError(f"{reader.path} has no topic '{name}'; it has: {', '.join(present) or 'none at all'}")
    return list(dict.fromkeys(topics))


def _nanoseconds(second: float | None, start_ns: int) -> int | None:
    if second is None:
        return None
    if not math.isfinite(second):
        raise BagError(f'{second} is no time to cut at; give seconds')
    return round(second * NANOSECONDS) + (0 if second >= _FIRST_ABSOLUTE_S else start_ns)
