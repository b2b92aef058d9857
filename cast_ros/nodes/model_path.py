# SPDX-License-Identifier: Apache-2.0
"""Where the student of the perception node is, and where that of this package lies."""

from __future__ import annotations

from pathlib import Path

from cast_ros.nodes.package_files import share_folders
from cast_ros.nodes.parameter import ParameterError

DEFAULT_MODEL = 'streets-small.onnx'


def model_path(model: str) -> Path:
    """The file that parameter `model` means.

    Raises:
        ParameterError: `model` is empty and the package came without its default student.
    """
    if model:
        return Path(model).expanduser()
    candidates = [folder / 'models' / DEFAULT_MODEL for folder in share_folders()]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = ', '.join(str(candidate) for candidate in candidates)
    raise ParameterError(
        f"parameter 'model' is empty and the default student is not installed (looked for {looked}): "
        "set 'model' to the path of a student"
    )
