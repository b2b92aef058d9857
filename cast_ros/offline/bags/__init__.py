# SPDX-License-Identifier: Apache-2.0
"""Bags, MCAP and sqlite3, read and written without ROS."""

from cast_ros.offline.bags.definitions import TopicDefinition
from cast_ros.offline.bags.message_types import typestore
from cast_ros.offline.bags.reader import BagMessage, BagReader, RawMessage, TopicSummary
from cast_ros.offline.bags.storage import Damage
from cast_ros.offline.bags.writer import BagWriter

__all__ = [
    'BagMessage',
    'BagReader',
    'BagWriter',
    'Damage',
    'RawMessage',
    'TopicDefinition',
    'TopicSummary',
    'typestore',
]
