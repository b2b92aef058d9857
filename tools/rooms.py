# SPDX-License-Identifier: Apache-2.0
"""Write the table of rooms in docs/architecture.md: every module with the first sentence of its docstring.

Run as ``python tools/rooms.py``, or by `make docs`; a test holds the page to it. Standard library only.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs' / 'architecture.md'
PACKAGES = ('cast_ros', 'train/cast_train')
START, END = '<!-- rooms: written by `make docs` -->', '<!-- end of rooms -->'


def first_sentence(file: Path) -> str:
    """Of a module's docstring, on one line.

    Raises:
        ValueError: it has none.
    """
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding='utf-8')))
    if not docstring:
        raise ValueError(f'{file} has no docstring; say in its first sentence what it is for')
    paragraph = ' '.join(docstring.split('\n\n')[0].split())
    return re.split(r'(?<=[.!?]) (?=[A-Z`])', paragraph)[0].rstrip(':')


def rooms(root: Path) -> Iterator[str]:
    """Lines of Markdown: a table for each folder, under the first sentence of its package."""
    folders = sorted({file.parent for package in PACKAGES for file in (root / package).rglob('*.py')})
    for folder in folders:
        files = sorted(file for file in folder.glob('*.py') if file.name != '__init__.py')
        yield f'### {folder.relative_to(root).as_posix()}/'
        yield ''
        yield first_sentence(folder / '__init__.py')
        yield ''
        if files:
            yield '| room | what it is for |'
            yield '| --- | --- |'
            for file in files:
                yield f'| `{file.name}` | {first_sentence(file).replace("|", chr(92) + "|")} |'
            yield ''


def page_with_rooms(page: str, root: Path) -> str:
    """The page with the table anew.

    Raises:
        ValueError: the page has no place for it.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f'the page needs the lines {START} and {END}')
    return '\n'.join([f'{before}{START}', '', *rooms(root), f'{END}{after}'])


def main() -> int:
    """Rewrite the page."""
    PAGE.write_text(page_with_rooms(PAGE.read_text(encoding='utf-8'), ROOT), encoding='utf-8')
    print(f'Wrote the rooms of {PAGE.relative_to(ROOT)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
