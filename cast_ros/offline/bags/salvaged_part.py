# SPDX-License-Identifier: Apache-2.0
"""One storage file of a damaged bag: what its topics are, and what reads it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple, Protocol

from rosbags.interfaces import MessageDefinition, Qos


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
