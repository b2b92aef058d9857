# SPDX-License-Identifier: Apache-2.0
"""A bag in memory, to be changed and written again."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosbags.serde import SerdeError

from cast_ros.errors import BagError
from cast_ros.offline.bags import BagReader, BagWriter, RawMessage, TopicDefinition, typestore
from cast_ros.offline.bags.ground_truth_topics import LABEL_TOPICS
from cast_ros.offline.bags.message_types import camera_info_beside
from cast_ros.offline.bags.messages import NANOSECONDS, stamp_ns

# So that a fault has messages of its topic before and after it.
_MARGIN = 2


@dataclass
class Draft:
    """All of a bag; a large one is cut first.

    Attributes:
        topics: by name.
        messages: in the order of recording.
        picture_topic: the one that is to be changed; None if the bag has no pictures.
        dice: decides on places.
    """

    topics: dict[str, TopicDefinition]
    messages: list[RawMessage]
    picture_topic: str | None
    dice: random.Random = field(default_factory=random.Random)

    @classmethod
    def read(cls, path: Path, picture_topic: str | None, seed: int) -> Draft:
        """Read a whole bag.

        Raises:
            BagError: it cannot be read.
        """
        with BagReader(path) as reader:
            return cls(reader.definitions(), list(reader.raw_messages()), picture_topic, random.Random(seed))  # noqa: S311

    def write(self, out: Path) -> None:
        """Write it.

        Raises:
            BagError: ``out`` exists, or the disk refuses.
        """
        with BagWriter(out) as writer:
            for definition in self.topics.values():
                writer.declare(definition)
            for raw in self.messages:
                writer.write_raw(raw.topic, raw.msgtype, raw.recorded_ns, raw.data)

    def require_pictures(self, msgtypes: Collection[str]) -> str:
        """The picture topic, if it is of one of these types.

        Raises:
            BagError: it is not, or there is none.
        """
        if self.picture_topic is None or self.topics[self.picture_topic].msgtype not in msgtypes:
            raise BagError(f'this fault needs a topic of {" or ".join(msgtypes)}; name one with --topic')
        return self.picture_topic

    def camera_info_topic(self, picture_topic: str) -> str:
        """The topic beside the pictures.

        Raises:
            BagError: there is none.
        """
        beside = camera_info_beside(picture_topic)
        if beside not in self.topics:
            raise BagError(f'this fault needs the topic {beside}, which the bag has not')
        return beside

    def label_topic(self) -> str:
        """A topic of ground truth.

        Raises:
            BagError: there is none.
        """
        found = next((name for name in LABEL_TOPICS if name in self.topics), None)
        if found is None:
            raise BagError(f'this fault needs ground truth ({" or ".join(LABEL_TOPICS)}), which the bag has not')
        return found

    def places(self, topic: str, room: int = 1) -> list[int]:
        """Indices in ``messages`` of ``room`` consecutive messages of a topic, chosen by the dice; not near its ends.

        Raises:
            BagError: the topic has too few messages.
        """
        of_topic = [index for index, raw in enumerate(self.messages) if raw.topic == topic]
        spare = len(of_topic) - 2 * _MARGIN - room
        if spare < 0:
            raise BagError(f'{topic} has {len(of_topic)} messages; this fault needs {2 * _MARGIN + room} at least')
        first = _MARGIN + self.dice.randint(0, spare)
        return of_topic[first : first + room]

    def previous(self, index: int, back: int = 1) -> RawMessage:
        """The message so many before on the same topic."""
        topic = self.messages[index].topic
        return [raw for raw in self.messages[:index] if raw.topic == topic][-back]

    def edit(self, index: int, change: Callable[[Any], None]) -> None:
        """Decode a message, change it, and put it back."""
        raw = self.messages[index]
        message = self.decoded(raw)
        change(message)
        data = bytes(typestore().serialize_cdr(message, raw.msgtype))
        self.messages[index] = raw._replace(data=data)

    def decoded(self, raw: RawMessage) -> Any:
        """A message of one of our own types.

        Raises:
            BagError: it is damaged, or of another definition.
        """
        try:
            return typestore().deserialize_cdr(raw.data, raw.msgtype)
        except SerdeError as error:
            raise BagError(f"a message on '{raw.topic}' cannot be spoilt, it does not decode: {error}") from error

    def stamp(self, raw: RawMessage) -> int:
        """Its header stamp in nanoseconds."""
        return stamp_ns(self.decoded(raw))

    def restamp(self, index: int, at_ns: int) -> None:
        """Give a message another header stamp."""

        def change(message: Any) -> None:
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(at_ns, NANOSECONDS)

        self.edit(index, change)
