# SPDX-License-Identifier: Apache-2.0
"""Environment variables that keep our runs of ROS 2 on this machine and apart from each other.

As a script it starts a command with them: ``ros_environment.py COMMAND ARGUMENT...``. They must be set before rclpy
starts.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from cast_ros.nodes.fastdds import profile_variable

ROOT = Path(__file__).resolve().parent.parent
FASTDDS_PROFILE = ROOT / 'config' / 'fastdds_shared_memory.xml'
LARGEST_DOMAIN_ID = 101


def private_ros_environment(log_folder: Path) -> dict[str, str]:
    """Variables for one run: own domain, this machine only, shared memory for pictures, logs in ``log_folder``."""
    prefixes = [sys.prefix, *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]
    return {
        # So that ROS finds our models and launch files in the environment of the interpreter that runs this.
        'AMENT_PREFIX_PATH': os.pathsep.join(dict.fromkeys(filter(None, prefixes))),
        'ROS_DOMAIN_ID': str(1 + secrets.randbelow(LARGEST_DOMAIN_ID)),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        profile_variable(): str(FASTDDS_PROFILE),
        'ROS_HOME': str(log_folder),
        'ROS_LOG_DIR': str(log_folder / 'log'),
    }


def main(command: Sequence[str]) -> None:
    """Replace this process by the command."""
    os.execvpe(command[0], list(command), {**os.environ, **private_ros_environment(ROOT / 'out' / 'ros')})


if __name__ == '__main__':
    main(sys.argv[1:])
