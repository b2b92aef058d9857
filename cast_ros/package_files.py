# SPDX-License-Identifier: Apache-2.0
"""Where files of this package lie, which student a name means, and how extras are installed."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from cast_ros.errors import ParameterError

DEFAULT_MODEL = 'streets-small'
_MARKER = Path('share') / 'ament_index' / 'resource_index' / 'packages' / 'cast_ros'


def share_folders() -> list[Path]:
    """Folders to look in, the first one first: the sourced workspaces, a virtual environment, a source checkout.

    Workspaces are read from AMENT_PREFIX_PATH, as ament_index does, so that programs without ROS find the same files.
    """
    prefixes = [Path(entry) for entry in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if entry]
    sourced = [prefix for prefix in prefixes if (prefix / _MARKER).is_file()]
    return [*(prefix / 'share' / 'cast_ros' for prefix in (*sourced, Path(sys.prefix))), Path(__file__).parents[1]]


def how_to_install(extra: str) -> str:
    """The command that brings the libraries of an extra: no index has this package, so its source folder is named."""
    source = Path(__file__).parents[1]
    place = str(source) if (source / 'setup.py').is_file() else 'PATH/TO/cast_ros'
    return f'pip install "{place}[{extra}]"'


def model_path(model: str) -> Path:
    """The file that parameter `model` means: bare names (`road-medium`) are students of this package, all else a path.

    Raises:
        ParameterError: the package came without a student of that name, or a relative path names no file.
    """
    name = model or DEFAULT_MODEL
    if not re.fullmatch(r'[\w-]+', name):
        path = Path(name).expanduser()
        if not path.is_absolute() and not path.exists():
            raise ParameterError(
                f"parameter 'model' is '{model}', and there is no such file below {Path.cwd()}, where this program "
                'runs: give the whole path'
            )
        return path
    folders = [folder / 'models' for folder in share_folders()]
    for folder in folders:
        if (folder / f'{name}.onnx').is_file():
            return folder / f'{name}.onnx'
    found = sorted({file.stem for folder in folders for file in folder.glob('*.onnx')})
    raise ParameterError(
        f"parameter 'model' is '{model}', and there is no student '{name}' in {', '.join(map(str, folders))} "
        f"(there: {', '.join(found) or 'none'}): set 'model' to one of these names, or to the path of an .onnx file"
    )
