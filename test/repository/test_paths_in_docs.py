# SPDX-License-Identifier: Apache-2.0
"""A module that the pages name is there: pages outlive moves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# Where a page may leave the start of a path out.
STARTS = ('', 'train', 'train/cast_train', 'cast_ros', 'test', 'test/cast_train', 'benchmarks', 'tools')
MODULE = re.compile(r'(?<![\w./-])((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)\b')


def missing(text: str, root: Path) -> Iterator[str]:
    """Module paths of a page that lead nowhere."""
    for path in sorted(set(MODULE.findall(text))):
        if not any((root / start / path).is_file() for start in STARTS):
            yield path


@pytest.mark.parametrize(
    'page',
    [
        'README.md',
        'CONTRIBUTING.md',
        *(f'docs/{path.name}' for path in sorted((Path(__file__).resolve().parents[2] / 'docs').glob('*.md'))),
    ],
)
def test_every_module_that_a_page_names_is_there(project_root: Path, page: str) -> None:
    assert list(missing((project_root / page).read_text(encoding='utf-8'), project_root)) == []


def test_a_path_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / 'cast_ros' / 'nodes').mkdir(parents=True)
    (tmp_path / 'cast_ros' / 'nodes' / 'here.py').touch()
    page = (
        'See `nodes/here.py`, [it](../cast_ros/nodes/here.py), `nodes/gone.py:12`; not https://x.y/a/b.py or /c/d.py.'
    )
    assert list(missing(page, tmp_path)) == ['nodes/gone.py']
