# SPDX-License-Identifier: Apache-2.0
"""Libraries that are missing or too old."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cast_ros.libraries import NEEDED, RUNTIME

PROGRAMS = {
    'perception': ('-m', 'cast_ros.nodes'),
    'cast': ('-c', 'from cast_ros.cli import main; main()', '--help'),
    'cast-train': ('-c', 'from cast_train.cli import main; main()', '--help'),
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program before whose libraries this folder stands on the path."""
    path = os.pathsep.join([str(folder), *os.environ.get('PYTHONPATH', '').split(os.pathsep)])
    command = [sys.executable, *arguments]
    environment = {**os.environ, 'PYTHONPATH': path}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


@pytest.mark.parametrize('program', PROGRAMS)
@pytest.mark.parametrize(
    ('module', 'content', 'said'),
    [
        ('pydantic', "__version__ = '1.10.14'", "pydantic 1.10.14 is too old: {python} -m pip install 'pydantic>=2.5'"),
        ('numpy', "__version__ = '1.24.4'", "numpy 1.24.4 is too old: {python} -m pip install 'numpy>=1.26'"),
        ('cv2', "raise ImportError('libGL.so.1: cannot open')", 'cv2 cannot be imported (libGL.so.1: cannot open): '),
        ('yaml', "raise ImportError('gone')", 'yaml cannot be imported (gone): {python} -m pip install pyyaml'),
    ],
)
def test_every_program_says_in_one_line_which_library_and_how_to_get_it(
    tmp_path: Path, program: str, module: str, content: str, said: str
) -> None:
    (tmp_path / f'{module}.py').write_text(content, encoding='utf-8')
    done = run(tmp_path, *PROGRAMS[program])
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(f'{program}: {said.format(python=sys.executable)}')
    assert len(done.stderr.splitlines()) == 1


def test_the_node_needs_a_runtime_and_the_commands_say_so_later(tmp_path: Path) -> None:
    (tmp_path / 'onnxruntime.py').write_text("__version__ = '1.16.3'", encoding='utf-8')
    done = run(tmp_path, *PROGRAMS['perception'])
    assert (done.returncode, 'onnxruntime 1.16.3 is too old' in done.stderr) == (2, True)
    assert run(tmp_path, *PROGRAMS['cast']).returncode == 0


def test_the_oldest_releases_are_those_of_the_setup(project_root: Path) -> None:
    setup = (project_root / 'setup.py').read_text(encoding='utf-8')
    for _, distribution, least in (*NEEDED, RUNTIME):
        wanted = f"'{distribution}>={least}'" if least else f"'{distribution}'"
        assert wanted in setup


def test_no_advice_sends_people_to_an_index_for_this_package(project_root: Path) -> None:
    """No index has it, and whoever registers the name there would be installed in its place."""
    tracked = subprocess.run(['git', 'ls-files'], cwd=project_root, capture_output=True, text=True, check=True).stdout
    bad = re.compile(r"""pip3? install [^\n"'`]*['"]?cast[_-]ros(\[|\b(?!["'/]))""")
    for name in tracked.splitlines():
        if (
            name.endswith(('.py', '.md', '.yaml', '.xml', '.toml', '.txt', 'Dockerfile'))
            and 'test_libraries' not in name
        ):
            text = (project_root / name).read_text(encoding='utf-8')
            assert not bad.search(text), name
