# SPDX-License-Identifier: Apache-2.0
"""docs/architecture.md lists every module with its own first sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from rooms import END, PAGE, START, first_sentence, page_with_rooms


def test_the_page_is_current(project_root: Path) -> None:
    page = PAGE.read_text(encoding='utf-8')
    assert page == page_with_rooms(page, project_root), 'run `make docs`'


def test_a_new_room_appears_with_its_first_sentence_alone(tmp_path: Path) -> None:
    for package in ('cast_ros', 'train/cast_train'):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / '__init__.py').write_text('"""A package."""\n')
    (tmp_path / 'cast_ros' / 'new.py').write_text(
        '"""Something new | and good,\nin one line. And more.\n\nMuch more."""\n'
    )
    page = page_with_rooms(f'a\n{START}\nold\n{END}\nb\n', tmp_path)
    assert '| `new.py` | Something new \\| and good, in one line. |\n' in page
    assert page.startswith('a\n')
    assert page.endswith(f'{END}\nb\n')
    assert 'old' not in page


def test_a_module_that_does_not_say_what_it_is_for_is_named(tmp_path: Path) -> None:
    (tmp_path / 'silent.py').write_text('x = 1\n')
    with pytest.raises(ValueError, match=r'silent\.py has no docstring'):
        first_sentence(tmp_path / 'silent.py')


def test_a_page_without_a_place_for_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='the page needs the lines'):
        page_with_rooms('nothing', tmp_path)
