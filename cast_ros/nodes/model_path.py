# SPDX-License-Identifier: Apache-2.0
"""Which file the `model` of the perception node means: a path, or the name of a student of this package."""

from __future__ import annotations

import re
from pathlib import Path

from cast_ros.nodes.package_files import share_folders
from cast_ros.nodes.parameter import ParameterError

DEFAULT_MODEL = 'streets-small'


def model_path(model: str) -> Path:
    """The file that parameter `model` means: bare names (`road-medium`) are students of this package, all else a path.

    Raises:
        ParameterError: the package came without a student of that name.
    """
    name = model or DEFAULT_MODEL
    if not re.fullmatch(r'[\w-]+', name):
        return Path(name).expanduser()
    folders = [folder / 'models' for folder in share_folders()]
    for folder in folders:
        if (folder / f'{name}.onnx').is_file():
            return folder / f'{name}.onnx'
    found = sorted({file.stem for folder in folders for file in folder.glob('*.onnx')})
    raise ParameterError(
        f"parameter 'model' is '{model}', and there is no student '{name}' in {', '.join(map(str, folders))} "
        f"(there: {', '.join(found) or 'none'}): set 'model' to one of these names, or to the path of an .onnx file"
    )
