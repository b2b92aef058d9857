# SPDX-License-Identifier: Apache-2.0
"""Whether the libraries that every program of this package needs are there, and new enough: a sentence, no traceback.

A robot may have two Pythons, one that ROS brings and one that pip filled, and the packages of a distribution are older
than those of pip: the sentence names the interpreter and the command for it. Nothing of them is imported at the top.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

from cast_ros.errors import CastError

# Module, what pip calls it, and the oldest release that works; as in setup.py, which a test compares.
NEEDED = (
    ('numpy', 'numpy', '1.26'),
    ('cv2', 'opencv-python-headless', '4.6'),
    ('pydantic', 'pydantic', '2.5'),
    ('yaml', 'pyyaml', ''),
)
RUNTIME = ('onnxruntime', 'onnxruntime', '1.17')


class LibraryError(CastError):
    """A library is missing or too old for this interpreter; says which, and how to get it."""


def require(*more: tuple[str, str, str]) -> None:
    """Raises LibraryError for the first of NEEDED, and of those named here, that is missing or too old."""
    for module, distribution, least in (*NEEDED, *more):
        try:
            found = str(getattr(importlib.import_module(module), '__version__', ''))
        except ImportError as error:
            raise LibraryError(f'{module} cannot be imported ({error}): {_remedy(distribution, least)}') from error
        if least and found and _numbers(found) < _numbers(least):
            raise LibraryError(f'{module} {found} is too old: {_remedy(distribution, least)}')


def _remedy(distribution: str, least: str) -> str:
    wanted = f"'{distribution}>={least}'" if least else distribution
    managed = any(Path(folder).joinpath('EXTERNALLY-MANAGED').exists() for folder in _library_folders())
    where = (
        ' (in a virtual environment made with --system-site-packages, since this Python is managed)' if managed else ''
    )
    return f'{sys.executable} -m pip install {wanted}{where}'


def _library_folders() -> set[str]:
    import sysconfig

    # A virtual environment is not managed, whatever its base is.
    return set() if sys.prefix != sys.base_prefix else {sysconfig.get_path('stdlib')}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', version)[:2])
