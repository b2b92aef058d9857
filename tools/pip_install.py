# SPDX-License-Identifier: Apache-2.0
"""Installing packages into one of our virtual environments."""

from __future__ import annotations

import subprocess
from pathlib import Path

from setup_error import SetupError


def pip_install(environment: Path, *arguments: str) -> None:
    """Run ``pip install`` in the environment; quiet unless it fails."""
    pip = [str(environment / 'bin' / 'python'), '-m', 'pip', 'install', '-qq', '--disable-pip-version-check']
    if subprocess.run([*pip, *arguments], check=False).returncode != 0:
        raise SetupError(
            'pip could not install the packages, its message is above. Running the command again continues.'
        )
