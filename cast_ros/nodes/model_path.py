# SPDX-License-Identifier: Apache-2.0
"""Where the student of the perception node is, and where that of this package lies."""

from __future__ import annotations

import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from cast_ros.nodes.parameter import ParameterError

DEFAULT_MODEL = 'streets-small.onnx'


def model_path(model: str) -> Path:
    """The file that parameter `model` means.

    Raises:
        ParameterError: `model` is empty and the package came without its default student.
    """
    if model:
        return Path(model).expanduser()
    candidates = [folder / 'models' / DEFAULT_MODEL for folder in _share_folders()]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = ', '.join(str(candidate) for candidate in candidates)
    raise ParameterError(
        f"parameter 'model' is empty and the default student is not installed (looked for {looked}): "
        "set 'model' to the path of a student"
    )


def _share_folders() -> list[Path]:
    """Where launch, config and models may lie: the installed package, a virtual environment, a source checkout."""
    folders = [Path(sys.prefix) / 'share' / 'cast_ros', Path(__file__).resolve().parents[2]]
    try:
        return [Path(get_package_share_directory('cast_ros')), *folders]
    except PackageNotFoundError:
        return folders
