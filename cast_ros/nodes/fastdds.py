# SPDX-License-Identifier: Apache-2.0
"""Which environment variable names the profile of Fast DDS."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

# Of rclpy in Jazzy, the last distribution whose Fast DDS knows the old name alone; later ones warn about it.
_LAST_WITH_THE_OLD_NAME = 7


def profile_variable() -> str:
    """FASTRTPS_DEFAULT_PROFILES_FILE up to Jazzy, FASTDDS_DEFAULT_PROFILES_FILE from Kilted on."""
    try:
        major = int(version('rclpy').partition('.')[0])
    except (PackageNotFoundError, ValueError):
        major = _LAST_WITH_THE_OLD_NAME
    return 'FASTRTPS_DEFAULT_PROFILES_FILE' if major <= _LAST_WITH_THE_OLD_NAME else 'FASTDDS_DEFAULT_PROFILES_FILE'
