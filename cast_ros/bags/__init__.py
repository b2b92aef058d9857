# SPDX-License-Identifier: Apache-2.0
"""Bags, MCAP and sqlite3, read and written without ROS."""

from cast_ros.bags.definitions import TopicDefinition
from cast_ros.bags.errors import BagError
from cast_ros.bags.message_types import typestore
from cast_ros.bags.reader import BagMessage, BagReader, RawMessage, TopicSummary
from cast_ros.bags.salvage import Damage
from cast_ros.bags.writer import BagWriter

__all__ = [
    'BagError',
    'BagMessage',
    'BagReader',
    'BagWriter',
    'Damage',
    'RawMessage',
    'TopicDefinition',
    'TopicSummary',
    'typestore',
]
