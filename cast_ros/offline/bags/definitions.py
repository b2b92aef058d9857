# SPDX-License-Identifier: Apache-2.0
"""What a bag records about a topic beside its messages, so that they can be decoded, and declared in another bag."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat, Nodetype, Qos, QosDurability
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from cast_ros.offline.bags.message_types import INTERPRETED, typestore
from cast_ros.offline.bags.storage import PartTopic


class TopicDefinition(NamedTuple):
    """A topic as it was declared.

    Attributes:
        name: of the topic.
        msgtype: such as sensor_msgs/msg/Image.
        text: of the type, .msg or IDL; empty where the bag does not bring it.
        digest: of the type (REP 2016); empty where it is not known.
        qos: of each of its publishers; empty where the bag does not tell.
    """

    name: str
    msgtype: str
    text: str
    digest: str
    qos: tuple[Qos, ...]

    @property
    def latched(self) -> bool:
        """Whether late subscribers were served too (transient local)."""
        return any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in self.qos)


def definitions_of(topics: Collection[PartTopic]) -> dict[str, TopicDefinition]:
    """Every topic by name; the publishers of one topic are one entry."""
    found: dict[str, TopicDefinition] = {}
    for topic in sorted(topics, key=lambda entry: entry.name):
        known = found.get(topic.name)
        if known is not None:
            profiles = tuple(dict.fromkeys((*known.qos, *topic.qos)))
            found[topic.name] = known._replace(qos=profiles, text=known.text or topic.definition.data)
            continue
        store = own_store(topic.msgtype, topic.definition) or typestore()
        digest = topic.digest
        if not digest and knows(store, topic.msgtype):
            digest = store.hash_rihs01(topic.msgtype)
        found[topic.name] = TopicDefinition(topic.name, topic.msgtype, topic.definition.data, digest, topic.qos)
    return found


def knows(store: Typestore, msgtype: str) -> bool:
    """Whether a type is defined, with all the types in it."""
    try:
        store.get_msgdef(msgtype)
    except KeyError:
        return False
    return True


@lru_cache(maxsize=512)
def own_store(msgtype: str, definition: MessageDefinition) -> Typestore | None:
    """What decodes a type as the bag itself defines it: the shared store where both say the same.

    None if the bag does not say it, or not so that it can be read. Types within that it leaves out are ours.
    """
    if definition.format == MessageDefinitionFormat.NONE or not definition.data.strip():
        return None
    try:
        if definition.format == MessageDefinitionFormat.MSG:
            defined = get_types_from_msg(definition.data, msgtype)
        else:
            defined = get_types_from_idl(definition.data)
        ours = typestore().fielddefs
        if all(_fields(defined, name) == _fields(ours, name) for name in defined):
            return typestore()
        store = get_typestore(Stores.EMPTY)
        missing = set(defined)
        while missing:
            name = missing.pop()
            if name not in defined:
                defined[name] = ours[name]
            missing |= {inner for _, desc in defined[name][1] for inner in _types_in(desc) if inner not in defined}
        store.register(defined)
        store.get_msgdef(msgtype)
    except (TypesysError, KeyError):
        return None
    return store


def can_interpret(store: Typestore, msgtype: str) -> bool:
    """Whether a definition has all the fields that our tools look at; of other types they look at none."""
    return store is typestore() or msgtype not in INTERPRETED or _covers(store.fielddefs, msgtype)


def _covers(theirs: Any, name: str) -> bool:
    fields = dict(_fields(theirs, name) or ())
    return all(
        fields.get(field) == desc and all(_covers(theirs, inner) for inner in _types_in(desc))
        for field, desc in _fields(typestore().fielddefs, name) or ()
    )


def _fields(types: Any, name: str) -> list[tuple[str, Any]] | None:
    """Names and types of the fields; an empty message has a filler in generated code, and none in its text."""
    if name not in types:
        return None
    return [(field, desc) for field, desc in types[name][1] if field != 'structure_needs_at_least_one_member']


def _types_in(desc: Any) -> list[str]:
    """The message type that a field has or repeats."""
    kind, inner = desc
    if kind == Nodetype.NAME:
        return [inner]
    return [] if kind == Nodetype.BASE else _types_in(inner[0])
