# SPDX-License-Identifier: Apache-2.0
"""Faults of topics, stamps and calibrations; each changes a draft in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from rosbags.interfaces import QosDurability

from cast_ros.offline.bags import TopicDefinition
from cast_ros.offline.bags.message_types import PICTURE_TYPES, TRANSPORTS
from cast_ros.offline.bags.messages import NANOSECONDS
from cast_ros.offline.bags.tools.draft import Draft

_TEN_YEARS_NS = 10 * 365 * 86400 * NANOSECONDS
_LOST_PICTURES = 4


def empty_bag(draft: Draft) -> None:
    """No topic, no message."""
    draft.topics.clear()
    draft.messages.clear()


def empty_topic(draft: Draft) -> None:
    """One more topic, on which nothing comes."""
    draft.topics['/silent'] = TopicDefinition('/silent', 'std_msgs/msg/Empty', '', '', ())


def unknown_type(draft: Draft) -> None:
    """One more topic, with messages that nobody can decode."""
    msgtype = 'lost_msgs/msg/Lost'
    draft.topics['/lost'] = TopicDefinition('/lost', msgtype, '', '', ())
    index = draft.dice.randrange(len(draft.messages))
    draft.messages.insert(index, draft.messages[index]._replace(topic='/lost', msgtype=msgtype))


def other_definition(draft: Draft) -> None:
    """One more topic, of a type that the bag does not define, with messages as another version of ROS had it."""
    msgtype = 'visualization_msgs/msg/Marker'
    draft.topics['/markers'] = TopicDefinition('/markers', msgtype, 'no definition', '', ())
    index = draft.dice.randrange(len(draft.messages))
    draft.messages.insert(index, draft.messages[index]._replace(topic='/markers', msgtype=msgtype))


def damaged_message(draft: Draft) -> None:
    """A picture whose bytes end too early."""
    (index,) = draft.places(draft.require_pictures(PICTURE_TYPES))
    raw = draft.messages[index]
    draft.messages[index] = raw._replace(data=raw.data[: len(raw.data) // 2])


def latched_image(draft: Draft) -> None:
    """Pictures that late subscribers get too."""
    topic = draft.require_pictures(PICTURE_TYPES)
    definition = draft.topics[topic]
    profiles = tuple(entry._replace(durability=QosDurability.TRANSIENT_LOCAL) for entry in definition.qos)
    draft.topics[topic] = definition._replace(qos=profiles)


def zero_stamp(draft: Draft) -> None:
    """As of a driver that leaves the header empty."""
    (index,) = draft.places(draft.require_pictures(PICTURE_TYPES))
    draft.restamp(index, 0)


def far_future(draft: Draft) -> None:
    """As of a clock that was set wrong for a moment."""
    (index,) = draft.places(draft.require_pictures(PICTURE_TYPES))
    draft.restamp(index, draft.stamp(draft.messages[index]) + _TEN_YEARS_NS)


def stamp_back(draft: Draft) -> None:
    """A quarter of the usual distance before the picture before."""
    (index,) = draft.places(draft.require_pictures(PICTURE_TYPES))
    before, earlier = (draft.stamp(draft.previous(index, back)) for back in (1, 2))
    draft.restamp(index, before - max(1, (before - earlier) // 4))


def duplicate_stamp(draft: Draft) -> None:
    """As of a driver that sends a frame twice."""
    (index,) = draft.places(draft.require_pictures(PICTURE_TYPES))
    draft.restamp(index, draft.stamp(draft.previous(index)))


def gap(draft: Draft) -> None:
    """As of a disk that was too slow."""
    lost = draft.places(draft.require_pictures(PICTURE_TYPES), _LOST_PICTURES)
    draft.messages = [raw for index, raw in enumerate(draft.messages) if index not in lost]


def orphan_labels(draft: Draft) -> None:
    """As of a labeller with a clock of its own: a label half of the usual distance after its picture."""
    (index,) = draft.places(draft.label_topic())
    stamp, earlier = draft.stamp(draft.messages[index]), draft.stamp(draft.previous(index))
    draft.restamp(index, stamp + max(1, (stamp - earlier) // 2))


def no_camera_info(draft: Draft) -> None:
    """As of somebody who forgot to record it."""
    topic = draft.camera_info_topic(draft.require_pictures(PICTURE_TYPES))
    del draft.topics[topic]
    draft.messages = [raw for raw in draft.messages if raw.topic != topic]


def camera_info_size(draft: Draft) -> None:
    """One that was calibrated at another resolution."""

    def change(info: Any) -> None:
        info.width, info.height = 2 * info.width, 2 * info.height

    (index,) = draft.places(draft.camera_info_topic(draft.require_pictures(PICTURE_TYPES)))
    draft.edit(index, change)


def camera_info_frame(draft: Draft) -> None:
    """As of a driver whose calibration has the name of the camera and not of the frame."""
    topic = draft.camera_info_topic(draft.require_pictures(PICTURE_TYPES))

    def change(info: Any) -> None:
        info.header.frame_id = 'narrow_stereo'

    for index, raw in enumerate(draft.messages):
        if raw.topic == topic:
            draft.edit(index, change)


def empty_camera_info(draft: Draft) -> None:
    """As of one that somebody typed in."""

    def change(info: Any) -> None:
        info.width = info.height = 0

    (index,) = draft.places(draft.camera_info_topic(draft.require_pictures(PICTURE_TYPES)))
    draft.edit(index, change)


def k_or_p(draft: Draft) -> None:
    """As of a camera with a wide lens, whose pictures have a name that says neither raw nor rectified."""
    topic = draft.require_pictures(PICTURE_TYPES)
    beside, parts = draft.camera_info_topic(topic), topic.split('/')
    parts[-2 if parts[-1] in TRANSPORTS else -1] = 'image'
    name = '/'.join(parts)

    def change(info: Any) -> None:
        info.d = np.array([-0.3, 0.1, 0.0, 0.0, 0.0])
        info.p = info.p * np.array([0.8] * 8 + [1.0] * 4)

    for index, raw in enumerate(draft.messages):
        if raw.topic == beside:
            draft.edit(index, change)
        elif raw.topic == topic:
            draft.messages[index] = raw._replace(topic=name)
    draft.topics[name] = draft.topics.pop(topic)._replace(name=name)


def zero_k(draft: Draft) -> None:
    """As of a driver without a calibration."""

    def change(info: Any) -> None:
        info.k, info.p = 0 * info.k, 0 * info.p

    (index,) = draft.places(draft.camera_info_topic(draft.require_pictures(PICTURE_TYPES)))
    draft.edit(index, change)
