# SPDX-License-Identifier: Apache-2.0
"""A packed wheel is one that pip accepts and that puts every file where ROS looks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pack_wheel import pack_wheel, python_tag, site_packages, wheel_name


def test_pip_installs_what_was_packed(tmp_path: Path) -> None:
    prefix = tmp_path / 'prefix'
    files = {
        f'{site_packages()}/zoo_msgs/__init__.py': b'ANSWER = 42\n',
        f'{site_packages()}/zoo_msgs/__pycache__/x.pyc': b'',
        'lib/libzoo_msgs.so': b'\x7fELF',
        'share/zoo_msgs/package.xml': b'<package/>',
        'include/zoo_msgs/zoo.h': b'//',
        'bin/not_packed': b'',
    }
    for name, data in files.items():
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_bytes(data)
    wheel = pack_wheel(prefix, 'ros-zoo-msgs', '1.2.3', tmp_path / 'wheels')
    assert [path.name for path in (tmp_path / 'wheels').iterdir()] == [wheel_name('ros-zoo-msgs', '1.2.3')]

    target = tmp_path / 'target'
    pip = [sys.executable, '-m', 'pip', 'install', '-qq', '--no-deps', '--ignore-installed']
    subprocess.run([*pip, '--prefix', str(target), str(wheel)], check=True)
    installed = {path.relative_to(target).as_posix() for path in target.rglob('*') if path.is_file()}
    expected = {name for name in files if not name.startswith('bin/') and '__pycache__' not in name}
    assert {name for name in installed if 'dist-info' not in name and '__pycache__' not in name} == expected
    assert (target / 'lib/libzoo_msgs.so').read_bytes() == b'\x7fELF'


def test_the_tag_is_the_one_of_this_interpreter() -> None:
    minor = sys.version_info.minor
    assert python_tag() == f'cp3{minor}-cp3{minor}'
    assert wheel_name('ros-a-b', '1.0').startswith(f'ros_a_b-1.0-cp3{minor}-cp3{minor}-linux_')
