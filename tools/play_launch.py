# SPDX-License-Identifier: Apache-2.0
"""play-launch, an independent interpreter of ROS 2 launch files, for machines without ROS's own `launch`.

It lives in an environment of its own, since it needs another version of a parser library than the ROS wheels do.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import venv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pip_install import pip_install

REQUIREMENT = 'play-launch==0.16.0'
FOLDER = 'play-launch'
EMBEDDED_PYTHON = 'libpython3.10.so.1.0'
SOLVER = 'libz3.so.4'


@dataclass(frozen=True)
class PlayLaunch:
    """How to call it: the program, and the environment variables it needs."""

    program: Path
    variables: dict[str, str]


class CannotRunError(Exception):
    """Something that play-launch needs is not on this machine; the message names it."""


def install(cache: Path, wheels: Sequence[Path]) -> None:
    """Make the environment in the cache, with the message packages that the program is linked against."""
    environment = cache / FOLDER
    if _program(environment) is not None:
        return
    print(f'Installing {REQUIREMENT}, which checks the launch files, into {cache.name}/{FOLDER} ...', flush=True)
    venv.create(environment, symlinks=True, with_pip=True, clear=True)
    pip_install(environment, '--no-deps', *map(str, wheels))
    pip_install(environment, REQUIREMENT)


def locate(cache: Path, ros_environment: Path) -> PlayLaunch:
    """Find the program and everything it loads.

    Args:
        cache: the folder that `install` was given.
        ros_environment: the virtual environment with the ROS wheels and with cast_ros.

    Raises:
        CannotRunError: it was not installed, or a shared library is missing.
    """
    environment = cache / FOLDER
    program = _program(environment)
    if program is None:
        raise CannotRunError(f'{REQUIREMENT} is not installed in {environment.name}: make test installs it')
    try:
        ctypes.CDLL(SOLVER)
    except OSError as error:
        raise CannotRunError(f'{SOLVER} is not on this machine (apt install libz3-4)') from error
    libraries = [
        program.parent.parent / 'lib',
        environment / 'lib',
        ros_environment / 'lib',
        *sorted(ros_environment.glob('lib/python*/site-packages/ros_*.libs')),
        _embedded_python_folder(),
    ]
    variables = {
        'LD_LIBRARY_PATH': ':'.join(str(path) for path in libraries),
        'AMENT_PREFIX_PATH': f'{ros_environment}:{environment}:{program.parent.parent}',
        # Its Python is not the one that cast_ros is installed for, whose table the launch files read.
        'PYTHONPATH': str(Path(__file__).resolve().parent.parent),
        'ROS_DISTRO': 'jazzy',
        'NROS_PYTHON': str(ros_environment / 'bin' / 'python3'),
        # The ROS wheels start Python a second time to set LD_LIBRARY_PATH; it is complete already.
        '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',
    }
    return PlayLaunch(program, variables)


def _program(environment: Path) -> Path | None:
    return next(environment.glob('lib/python*/site-packages/play_launch/bin/play_launch'), None)


def _embedded_python_folder() -> Path:
    for folder in _library_folders():
        if (folder / EMBEDDED_PYTHON).exists():
            return folder
    raise CannotRunError(f'{EMBEDDED_PYTHON} is not on this machine (a shared build of Python 3.10 has it)')


def _library_folders() -> Iterable[Path]:
    yield from (Path('/usr/lib/x86_64-linux-gnu'), Path('/usr/lib64'), Path('/usr/local/lib'))
    python = shutil.which('python3.10')
    if python:
        yield Path(python).resolve().parent.parent / 'lib'
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'))
    yield from sorted(pyenv.glob('versions/3.10.*/lib'))
