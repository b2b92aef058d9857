# SPDX-License-Identifier: Apache-2.0
"""What a bag records about a topic beside its messages, so that another bag can declare it unchanged."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinitionFormat, Qos, QosDurability
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from cast_ros.offline.bags.message_types import typestore


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


def qos_of(connection: Connection) -> tuple[Qos, ...]:
    """Profiles that the publishers of a connection offered."""
    return tuple(connection.ext.offered_qos_profiles) if isinstance(connection.ext, ConnectionExtRosbag2) else ()


def definitions_of(connections: Collection[Connection], store: Typestore) -> dict[str, TopicDefinition]:
    """Every topic by name; the publishers of one topic are one entry."""
    found: dict[str, TopicDefinition] = {}
    for connection in sorted(connections, key=lambda entry: entry.topic):
        known = found.get(connection.topic)
        if known is not None:
            profiles = tuple(dict.fromkeys((*known.qos, *qos_of(connection))))
            found[connection.topic] = known._replace(qos=profiles)
            continue
        digest = connection.digest
        if not digest and knows(store, connection.msgtype):
            digest = store.hash_rihs01(connection.msgtype)
        text = connection.msgdef.data if connection.msgdef.format != MessageDefinitionFormat.NONE else ''
        found[connection.topic] = TopicDefinition(
            connection.topic, connection.msgtype, text, digest, qos_of(connection)
        )
    return found


def knows(store: Typestore, msgtype: str) -> bool:
    """Whether a type is defined, with all the types in it."""
    try:
        store.get_msgdef(msgtype)
    except KeyError:
        return False
    return True


def store_with_types_of(connections: Collection[Connection]) -> Typestore:
    """The shared type store, or a copy that also knows the types which only this bag defines."""
    known = typestore()
    foreign = [
        connection
        for connection in connections
        if connection.msgtype not in known.types
        and connection.msgdef.format == MessageDefinitionFormat.MSG
        and connection.msgdef.data.strip()
    ]
    if not foreign:
        return known
    store = get_typestore(Stores.EMPTY)
    store.register(known.fielddefs)
    for connection in foreign:
        try:
            defined = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            store.register({name: fields for name, fields in defined.items() if name not in store.types})
        except TypesysError:
            # Only who asks for this topic needs the type; BagReader.decode then says that it is unknown.
            continue
    return store
