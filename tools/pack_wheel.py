# SPDX-License-Identifier: Apache-2.0
"""Pack an installed ROS message package (a CMake install prefix) as a Python wheel.

Python modules go to site-packages, everything under lib/, share/ and include/ goes to the same place below the
environment's prefix, which is where the ROS wheels keep theirs, so that no environment variable is needed to find it.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import sysconfig
import zipfile
from pathlib import Path

DATA_FOLDERS = ('lib', 'share', 'include')


def python_tag() -> str:
    """Wheel tag of the interpreter and ABI that runs this, e.g. ``cp311-cp311``."""
    version = f'cp{sys.version_info.major}{sys.version_info.minor}'
    return f'{version}-{version}'


def wheel_tag() -> str:
    """Full wheel tag, e.g. ``cp311-cp311-linux_x86_64``."""
    platform = sysconfig.get_platform().replace('-', '_').replace('.', '_')
    return f'{python_tag()}-{platform}'


def wheel_name(distribution: str, version: str) -> str:
    """File name of the wheel of a distribution."""
    return f'{distribution.replace("-", "_")}-{version}-{wheel_tag()}.whl'


def site_packages() -> str:
    """Folder of Python modules below an install prefix."""
    return f'lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages'


def pack_wheel(prefix: Path, distribution: str, version: str, folder: Path) -> Path:
    """Write the wheel of everything installed under ``prefix`` into ``folder`` and return its path."""
    stem = f'{distribution.replace("-", "_")}-{version}'
    members = {
        _member_name(path.relative_to(prefix).as_posix(), stem): path.read_bytes() for path in _installed_files(prefix)
    }
    metadata = f'Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n'
    wheel = f'Wheel-Version: 1.0\nGenerator: cast_ros\nRoot-Is-Purelib: false\nTag: {wheel_tag()}\n'
    members[f'{stem}.dist-info/METADATA'] = metadata.encode()
    members[f'{stem}.dist-info/WHEEL'] = wheel.encode()
    record = ''.join(f'{name},sha256={_digest(data)},{len(data)}\n' for name, data in members.items())
    members[f'{stem}.dist-info/RECORD'] = f'{record}{stem}.dist-info/RECORD,,\n'.encode()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / wheel_name(distribution, version)
    partial = target.with_suffix('.partial')
    with zipfile.ZipFile(partial, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    partial.replace(target)
    return target


def _installed_files(prefix: Path) -> list[Path]:
    return sorted(
        path
        for name in DATA_FOLDERS
        for path in (prefix / name).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    )


def _member_name(relative: str, stem: str) -> str:
    modules = f'{site_packages()}/'
    if relative.startswith(modules):
        return relative[len(modules) :]
    return f'{stem}.data/data/{relative}'


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
