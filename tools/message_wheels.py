# SPDX-License-Identifier: Apache-2.0
"""Build the message packages of ``tools/ros/msgs`` against the ROS wheels and keep each one as a wheel in the cache.

Generating and compiling needs some 400 MB of CMake packages, so it happens in an environment of its own that is deleted
afterwards. Must run under the interpreter that the wheels are for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
import venv
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from pack_wheel import pack_wheel, python_tag, site_packages, wheel_name
from pip_install import pip_install
from setup_error import SetupError

ROOT = Path(__file__).resolve().parent.parent
DEFINITIONS = ROOT / 'tools' / 'ros' / 'msgs'
REQUIREMENTS = ROOT / 'requirements'


def message_wheels(packages: Sequence[str], cache: Path, distribution: str = 'jazzy') -> list[Path]:
    """Return one wheel per package for the wheels of a ROS distribution, building those that the cache lacks."""
    wheels = {name: _cached_wheel(name, cache, distribution) for name in packages}
    missing = [name for name, wheel in wheels.items() if not wheel.exists()]
    if missing:
        print(f'Building {", ".join(missing)} once; about 90 seconds, kept in {cache.name}/ ...', flush=True)
        _require_build_tools()
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='message-build-', dir=cache) as workspace:
            _build(Path(workspace), {name: wheels[name].parent for name in missing}, distribution)
    return list(wheels.values())


def build_requirements(distribution: str) -> tuple[Path, Path]:
    """What a message package of a ROS distribution is compiled with."""
    return REQUIREMENTS / f'ros-{distribution}.txt', REQUIREMENTS / f'ros-{distribution}-build.txt'


def definitions_digest(package: str, distribution: str = 'jazzy') -> str:
    """Hash of everything that decides what the wheel of a package contains."""
    digest = hashlib.sha256()
    definitions = sorted(path for path in (DEFINITIONS / package).rglob('*') if path.is_file())
    requirements = build_requirements(distribution)
    for path in [*definitions, *requirements, Path(__file__), Path(__file__).with_name('pack_wheel.py')]:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b'\0' + path.read_bytes() + b'\0')
    return digest.hexdigest()[:16]


def _cached_wheel(package: str, cache: Path, distribution: str) -> Path:
    folder = cache / 'wheels' / f'{python_tag()}-{definitions_digest(package, distribution)}'
    return folder / wheel_name(_project_name(package), _version(package, distribution))


def _project_name(package: str) -> str:
    return f'ros-{package.replace("_", "-")}'


def _version(package: str, distribution: str) -> str:
    """That of the package, and what it was made of: pip keeps what is installed where the version is the same."""
    version = ElementTree.parse(DEFINITIONS / package / 'package.xml').getroot().findtext('version')
    if version is None:
        raise SetupError(f'{DEFINITIONS / package / "package.xml"} has no <version>: add it.')
    return f'{version}+{definitions_digest(package, distribution)}'


def _require_build_tools() -> None:
    for tool in ('cmake', 'make', 'g++'):
        if shutil.which(tool) is None:
            raise SetupError(f'{tool} is missing, and message packages must be compiled: sudo apt install {tool}')
    headers = Path(sysconfig.get_path('include'))
    if not (headers / 'Python.h').exists():
        raise SetupError(
            f'{headers}/Python.h is missing, and message packages must be compiled: sudo apt install python3-dev'
        )


def _build(workspace: Path, folders: dict[str, Path], distribution: str) -> None:
    environment = workspace / 'venv'
    venv.create(environment, with_pip=True, symlinks=True)
    pip_install(environment, *(argument for path in build_requirements(distribution) for argument in ('-r', str(path))))
    _point_cmake_files_at(environment)
    for name, folder in folders.items():
        prefix = workspace / 'install' / name
        _compile(name, environment, workspace / 'build' / name, prefix)
        pack_wheel(prefix, _project_name(name), _version(name, distribution), folder)


def _point_cmake_files_at(environment: Path) -> None:
    # The CMake files in the ROS wheels name the Python of the machine that built them; CMake refuses missing folders.
    foreign = f'/opt/python/{python_tag()}'
    for path in (environment / 'share').rglob('*.cmake'):
        text = path.read_text(encoding='utf-8')
        if foreign in text:
            path.write_text(text.replace(foreign, str(environment)), encoding='utf-8')
    headers = Path(sysconfig.get_path('include'))
    link = environment / 'include' / headers.name
    if not link.exists():
        link.symlink_to(headers)


def _compile(package: str, environment: Path, build_folder: Path, prefix: Path) -> None:
    python = environment / 'bin' / 'python'
    variables = {
        'PATH': f'{environment / "bin"}:{os.environ["PATH"]}',
        'HOME': os.environ.get('HOME', str(environment)),
        'AMENT_PREFIX_PATH': str(environment),
        'CMAKE_PREFIX_PATH': str(environment),
        'LD_LIBRARY_PATH': str(environment / 'lib'),
    }
    configure = [
        *('cmake', '-S', str(DEFINITIONS / package), '-B', str(build_folder)),
        *(f'-DCMAKE_INSTALL_PREFIX={prefix}', '-DCMAKE_BUILD_TYPE=Release', '-DBUILD_TESTING=OFF'),
        *(f'-DPython3_EXECUTABLE={python}', f'-DPYTHON_INSTALL_DIR={site_packages()}'),
    ]
    install = ['cmake', '--build', str(build_folder), '--parallel', str(os.cpu_count() or 1), '--target', 'install']
    for command in (configure, install):
        done = subprocess.run(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode != 0:
            raise SetupError(f'{" ".join(command)} failed while building {package}:\n{done.stdout[-4000:]}')
