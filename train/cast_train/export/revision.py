# SPDX-License-Identifier: Apache-2.0
"""Which state of the code something was made with; no torch, so that a benchmark may ask before it measures."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git_revision() -> str:
    """The revision of the checkout this code runs from; ``unknown`` for an installed package."""
    folder = Path(__file__).parent
    found = subprocess.run(
        ['git', 'rev-parse', '--short=12', 'HEAD'], cwd=folder, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() if found.returncode == 0 else 'unknown'
