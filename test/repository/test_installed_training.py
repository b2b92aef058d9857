# SPDX-License-Identifier: Apache-2.0
"""What `pip install` puts into an environment is enough to train, from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tiny_night import IMPORTS, write_recordings

FEW = {
    'imports.topic': IMPORTS['topic'],
    'imports.blocks': IMPORTS['blocks'],
    'stages.source.steps': 1,
    'stages.source.labelled': 1,
    'stages.adaptation.steps': 1,
    'stages.adaptation.labelled': 1,
    'stages.adaptation.unlabelled': 1,
    'run.workers': 0,
    'gate': {'ap': 100.0, 'miou': 100.0},
}


@pytest.fixture
def environment(installed_prefix: Path, tmp_path: Path) -> Path:
    """A virtual environment that holds the installed package and nothing of the source tree; its Python."""
    folder = tmp_path / 'environment'
    (folder / 'bin').mkdir(parents=True)
    base = Path(getattr(sys, '_base_executable', sys.executable)).resolve()
    (folder / 'bin' / 'python').symlink_to(base)
    (folder / 'pyvenv.cfg').write_text(f'home = {base.parent}\n')
    for name in ('lib', 'share'):
        (folder / name).symlink_to(installed_prefix / name)
    return folder / 'bin' / 'python'


def cast_train(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it from the root folder; libraries come from the environment of these tests, the package does not."""
    variables = {name: value for name, value in os.environ.items() if name not in ('AMENT_PREFIX_PATH', 'PYTHONPATH')}
    command = [python, '-c', 'from cast_train.cli import main; main()', *arguments]
    libraries = {'PYTHONPATH': sysconfig.get_path('purelib')}
    return subprocess.run(command, cwd='/', env={**variables, **libraries}, capture_output=True, text=True, check=False)


def test_recipes_are_found_in_the_installed_share_folder(environment: Path) -> None:
    listed = cast_train(environment, 'recipes')
    assert listed.returncode == 0, listed.stderr
    assert {'night', 'streets-cast'} <= {line.split()[0] for line in listed.stdout.splitlines()}
    unknown = cast_train(environment, 'validate', 'streets-cats')
    assert f'{environment.parents[1]}/share/cast_ros/config/recipes' in unknown.stderr
    checked = cast_train(environment, 'validate', 'night')
    assert checked.returncode == 0, checked.stderr
    assert f'{environment.parents[1]}/share/cast_ros/benchmarks/accuracy/start/streets-foundation.pt' in checked.stdout


def test_night_runs_from_any_folder(environment: Path, tmp_path: Path) -> None:
    day, night = write_recordings(tmp_path, night_has_truth=False)
    changes = [word for key, value in FEW.items() for word in ('--set', f'{key}={value}')]
    out = tmp_path / 'out'
    done = cast_train(environment, 'night', '--source', day, '--target', night, '--out', out, *changes)
    assert done.returncode == 0, done.stderr
    assert f'{out}/night.onnx: gate passed' in done.stdout
    assert (out / 'report.html').is_file()
