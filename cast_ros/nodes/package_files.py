# SPDX-License-Identifier: Apache-2.0
"""Where launch, config and models of this package lie."""

from __future__ import annotations

import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory


def share_folders() -> list[Path]:
    """Folders to look in, the first one first: the installed package, a virtual environment, a source checkout."""
    folders = [Path(sys.prefix) / 'share' / 'cast_ros', Path(__file__).resolve().parents[2]]
    try:
        return [Path(get_package_share_directory('cast_ros')), *folders]
    except (PackageNotFoundError, OSError):  # OSError: AMENT_PREFIX_PATH is not set
        return folders
