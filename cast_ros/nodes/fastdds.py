# SPDX-License-Identifier: Apache-2.0
"""Fast DDS on one machine: the profile for pictures, and which environment variable names it."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version

from cast_ros.package_files import share_folders

# Of rclpy in Jazzy, the last distribution whose Fast DDS knows the old name alone; later ones warn about it.
_LAST_WITH_THE_OLD_NAME = 7


def profile_variable() -> str:
    """FASTRTPS_DEFAULT_PROFILES_FILE up to Jazzy, FASTDDS_DEFAULT_PROFILES_FILE from Kilted on."""
    try:
        major = int(version('rclpy').partition('.')[0])
    except (PackageNotFoundError, ValueError):
        major = _LAST_WITH_THE_OLD_NAME
    return 'FASTRTPS_DEFAULT_PROFILES_FILE' if major <= _LAST_WITH_THE_OLD_NAME else 'FASTDDS_DEFAULT_PROFILES_FILE'


def stay_on_this_machine() -> None:
    """For a program that starts both ends itself: a domain of its own, nobody else's, and room for pictures.

    What the environment says already stays. Children inherit it; ROS reads it in rclpy.init.
    """
    # ROS 2 from wheels lies in the environment of the interpreter, and has no setup file to source.
    if not os.environ.get('AMENT_PREFIX_PATH'):
        os.environ['AMENT_PREFIX_PATH'] = sys.prefix
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 101))
    for profile in (folder / 'config' / 'fastdds_shared_memory.xml' for folder in share_folders()):
        if profile.is_file():
            os.environ.setdefault(profile_variable(), str(profile))
            return
